"""Which folders are runs, and what reading one gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from dashboard.listing import PLACEMENT, RUN, SEEDS, list_results
from dashboard.load import RunView, Unreadable, ask, read_run
from dashboard.style import plain
from sim.errors import ResultError


def test_only_real_folders_with_a_manifest_and_a_plain_name_are_listed(
    runs: Path, made: Path, tmp_path: Path
) -> None:
    (runs / "linked").symlink_to(made / "complete")
    (runs / "empty").mkdir()
    (runs / ".complete.tmp-x").mkdir()
    (runs / "a b").mkdir()
    (runs / "a b" / "manifest.json").write_text("{}")
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    (runs / "led-out").mkdir()
    (runs / "led-out" / "manifest.json").symlink_to(outside)
    (runs / "notes.txt").write_text("not a run")
    (runs / "several").mkdir()
    (runs / "several" / "manifest.json").write_text("{}")
    (runs / "several" / "by_seed.json").write_text("{}")
    (runs / "placed" / "placements").mkdir(parents=True)
    (runs / "placed" / "manifest.json").write_text("{}")
    listing = list_results(runs.resolve())
    assert listing.names(RUN) == ("complete",)
    assert [line.partition(":")[0] for line in listing.left_out] == [
        "'a b'",
        "'empty'",
        "'led-out'",
        "'linked'",
    ]
    assert listing.names(SEEDS) == ("several",)
    assert listing.names(PLACEMENT) == ("placed",)
    assert listing.missing == ""


def test_runs_are_listed_newest_first(made: Path) -> None:
    names = list_results(made).names(RUN)
    written = [(made / name / "manifest.json").stat().st_mtime for name in names]
    assert len(names) == 8
    assert written == sorted(written, reverse=True)


@pytest.mark.parametrize("name", ["../runs/complete", "complete/", ".", "", "/etc"])
def test_a_name_outside_the_listing_is_never_opened(runs: Path, name: str) -> None:
    with pytest.raises(Unreadable, match="there is no run"):
        read_run(list_results(runs.resolve()), name)


def test_a_view_holds_what_the_run_says(made: Path) -> None:
    run = read_run(list_results(made), "two")
    assert run.workloads == ("chat", "code")
    assert (run.warm_up_s, run.duration_s, run.measured_s) == (5.0, 30.0, 25.0)
    assert run.provisioned_w == 45_000.0
    assert [line.passed for line in run.expectations] == [
        run.metrics["chat.goodput_fraction"].value >= 0.99,
        run.metrics["over_budget_s"].value == 0.0,
    ]


def test_plain_leaves_nothing_for_markdown() -> None:
    shown = plain("![x](http://a.b/c.png) $x$ :red[y]\n# head www.evil.example")
    bare = shown.replace("\N{WORD JOINER}", "")
    assert "\n" not in shown
    assert "://" not in bare
    assert "www." not in shown
    assert "www\\." not in shown
    for mark in "![]()$:#":
        assert all(bare[at - 1] == "\\" for at, sign in enumerate(bare) if sign == mark)


def ask_one(view: RunView, sql: str, **parameters: object) -> object:
    return ask(view, sql, **parameters).iloc[0, 0]


def test_queries_read_the_tables_of_the_run(made: Path) -> None:
    run = read_run(list_results(made), "two")
    rows = run.result.tables["requests"].to_pandas()
    sql = "select count(*) as n from requests where workload = $workload and replica is not null"
    assert ask_one(run, sql, workload="code") == (rows["workload"] == "code").sum()
    both = (
        "select count(*) as n from requests r join summary_worst w on r.request_id = w.request_id"
    )
    assert ask_one(run, both) == run.rows("summary/worst") > 0


def test_a_table_that_was_not_recorded_has_no_rows(made: Path) -> None:
    run = read_run(list_results(made), "summary")
    assert run.rows("requests") == 0
    assert ask(run, "select request_id, workload, met from requests").shape == (0, 3)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('/etc/hostname')",
        "select * from read_text('{root}/../outside.txt')",
        "copy (select 1 as x) to '{root}/../written.csv'",
        "set enable_external_access = true",
        "install httpfs",
        "attach '{root}/../other.db'",
    ],
)
def test_queries_reach_nothing_outside_the_root(made: Path, sql: str) -> None:
    (made.parent / "outside.txt").write_text("secret")
    run = read_run(list_results(made), "complete")
    with pytest.raises(duckdb.Error):
        ask(run, sql.replace("{root}", str(made)))
    assert not (made.parent / "written.csv").exists()


@pytest.mark.parametrize("table", ["requests", "power"])
def test_a_table_that_was_cut_is_refused(runs: Path, table: str) -> None:
    part = runs / "complete" / table / "part-00000.parquet"
    whole = pq.read_table(part)
    pq.write_table(whole.slice(0, whole.num_rows - 1), part)
    run = read_run(list_results(runs.resolve()), "complete")
    with pytest.raises(ResultError, match="was changed or cut"):
        ask(run, f"select count(*) as n from {table.replace('/', '_')}")


def test_a_root_with_odd_signs_is_read(made: Path, tmp_path: Path) -> None:
    root = tmp_path / "it's [a] *root*"
    shutil.copytree(made / "complete", root / "complete")
    run = read_run(list_results(root.resolve()), "complete")
    assert ask_one(run, "select count(*) as n from requests") == run.rows("requests")


def test_a_column_of_another_type_is_refused(runs: Path) -> None:
    part = runs / "complete" / "power" / "part-00000.parquet"
    whole = pq.read_table(part)
    place = whole.schema.get_field_index("in_mw")
    pq.write_table(whole.set_column(place, "in_mw", whole.column("in_mw").cast("string")), part)
    run = read_run(list_results(runs.resolve()), "complete")
    with pytest.raises(ResultError, match="does not have the columns of table 'power'"):
        ask(run, "select max(in_mw) as highest from power")
