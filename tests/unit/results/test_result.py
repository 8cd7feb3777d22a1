"""Results: measured from known rows, reopened as they were, refused when they are not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from sim.errors import ResultError
from sim.results import parquet, stored
from sim.results.expectations import evaluate
from sim.results.freeze import freeze
from sim.results.manifest import plain
from sim.results.memory import MemorySink
from sim.results.parquet import ParquetSink
from sim.results.result import MAX_JSON_BYTES, metrics_json, open_run
from sim.results.stored import MissingTable
from tests.unit.results.by_hand import Goals, Wish, fill, part, parts, requests, run, summariser


def test_quantiles_are_numpys_over_arrivals_in_the_window() -> None:
    rows = requests(2000)
    metrics = run(rows=rows).metrics
    inside = (rows["arrival_s"] >= 60.0) & (rows["arrival_s"] < 600.0)
    ttft = (rows["first_token_s"] - rows["arrival_s"])[inside]
    assert metrics["chat.ttft_p99"].value == np.quantile(ttft, 0.99)
    assert metrics["chat.ttft_mean"].value == pytest.approx(ttft.mean(), rel=1e-14)
    assert metrics["chat.arrivals"].value == inside.sum()
    assert metrics["chat.goodput_fraction"].value == rows["met"][inside].sum() / inside.sum()
    assert metrics["chat.goodput_per_s"].value == rows["met"][inside].sum() / 540.0
    several = inside & (rows["output_tokens"] >= 2)
    decode = (rows["end_s"] - rows["first_token_s"])[several]
    tpot = decode / (rows["output_tokens"][several] - 1)
    assert metrics["chat.tpot_p50"].value == np.quantile(tpot, 0.5)


@pytest.mark.parametrize("record", ["full", "sampled", "summary"])
def test_the_window_holds_its_start_and_not_its_end(record: str) -> None:
    """Arrivals at 59.9…, 60, 599.9… and 600 s; the window is [60, 600). One is cut short."""
    rows = {name: values[:4] for name, values in requests(4).items()}
    arrival = np.array([np.nextafter(60.0, 0.0), 60.0, np.nextafter(600.0, 0.0), 600.0])
    rows |= {
        "arrival_s": arrival,
        "admitted_s": arrival + np.array([9.0, 0.25, 0.75, 9.0]),
        "first_token_s": arrival + np.array([9.0, 1.0, 2.0, 9.0]),
        "end_s": arrival + np.array([9.0, 3.0, 4.0, 9.0]),
        "input_tokens": np.array([7, 100, 1000, 7]),
        "output_tokens": np.array([5, 5, 5, 5]),
        "outcome": ["completed", "completed", "cancelled", "completed"],
        "met": np.zeros(4, bool),
    }
    metrics = run(rows=rows, record=record).metrics
    counted = {name: metrics[f"chat.{name}"].value for name in ("arrivals", "completed")}
    assert counted == {"arrivals": 2, "completed": 1}
    # The histograms keep sums, so means are exact at every level. Cancelled: no end, a first token.
    for name, mean in {"queue": 0.5, "ttft": 1.5, "tpot": 0.5, "e2e": 3.0}.items():
        assert metrics[f"chat.{name}_mean"].value == pytest.approx(mean, rel=1e-12), name
    assert metrics["chat.input_tokens_per_s"].value == pytest.approx(100 / 540)


def test_meters_become_metrics() -> None:
    metrics = run(price_usd_per_j=0.09 / 3.6e6).metrics
    expected = {
        "chat.output_tokens_per_s": 54_000 / 540,
        "chat.energy_per_output_token": 2.4e6 / 54_000,
        "pools[chat].kv_utilisation": 0.5,  # 2 × 8,000 tokens of 2 × 16,000
        "pools[chat].busy_fraction": 0.75,
        "pools[chat].waiting_mean": 1.0,
        "pools[chat].running_mean": 20.0,
        "pools[chat].blocked_blocks_fraction": 0.05,
        "power[ups-a].headroom_w": 99e3,
        "over_budget_s": 12.0,
        "headroom_w": -4e3,
        "energy_j": 90e3 * 540,
        "energy_per_output_token": 900.0,
        "energy_cost_per_mtoken": 900.0 * 1e6 / 3.6e6 * 0.09,
    }
    for name, value in expected.items():
        assert metrics[name].value == pytest.approx(value), name
    per_mw = metrics["goodput_per_mw"]
    goodput = metrics["goodput_per_s"].value
    assert goodput is not None
    assert per_mw.value == pytest.approx(goodput / 0.1)
    assert per_mw.si == pytest.approx(goodput / 100e3)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("energy_cost_per_mtoken", {}, "no energy price is stated"),
        (
            "goodput_per_mw",
            {"power": {"stated": False, "provisioned_w": None}},
            "provisioned power is unknown: no budget or rating is stated",
        ),
        (
            "power[row-1-rack-1-node-1].headroom_w",
            {},
            "no budget and no rating is stated for it",
        ),
        ("chat.itl_p99", {}, "no request delivered a second token"),
        (
            "chat.goodput_per_s",
            {"warm_up_s": 900.0},
            "the run has no measurement window: it ended before its warm-up did",
        ),
    ],
)
def test_what_cannot_be_measured_is_null_and_says_why(
    name: str, change: dict[str, Any], reason: str
) -> None:
    metric = run(**change).metrics[name]
    assert metric.value is None
    assert metric.si is None
    assert metric.reason == reason


def test_gaps_come_from_the_engines_histogram() -> None:
    from sim.results.bins import GAP_ERROR, gap_bin

    sink = summariser(MemorySink())
    fill(sink)
    gaps = np.random.default_rng(1).lognormal(-4, 0.3, 5000)
    bins, counts = np.unique([gap_bin(gap) for gap in gaps], return_counts=True)
    sink.write("summary/itl", {"workload": ["chat"] * len(bins), "bin": bins, "n": counts})
    metrics = freeze(sink, parts()).metrics
    for name, exact in (
        ("chat.itl_p50", np.quantile(gaps, 0.5)),
        ("chat.itl_p99", np.quantile(gaps, 0.99)),
        ("chat.itl_mean", gaps.mean()),
    ):
        metric = metrics[name]
        assert metric.value == pytest.approx(exact, rel=GAP_ERROR)
        assert metric.relative_error == GAP_ERROR


def test_expectations_are_judged_in_si_units_and_null_fails_with_the_reason() -> None:
    wishes = [
        Wish("chat.goodput_fraction >= 90 %", "chat.goodput_fraction", ">=", 0.9),
        Wish("over_budget_s <= 0 s", "over_budget_s", "<=", 0.0),
        Wish("goodput_per_mw > 20 /s/MW", "goodput_per_mw", ">", 20e-6),
        Wish("goodput_per_mw > 40 /s/MW", "goodput_per_mw", ">", 40e-6),
        Wish("energy_cost_per_mtoken < 1 USD/Mtoken", "energy_cost_per_mtoken", "<", 1e-6),
        Wish("chat.shed == 0", "chat.shed", "==", 0.0),
    ]
    result = run(expectations=wishes)
    outcomes = result.manifest["expectations"]
    assert [outcome["passed"] for outcome in outcomes] == [True, False, True, False, False, True]
    assert [outcome["reason"] for outcome in outcomes] == [
        "", "", "", "", "no energy price is stated", "",
    ]  # fmt: skip
    assert outcomes[1]["value"] == 12.0
    late = evaluate(wishes[:1], result.metrics, partial=True)[0]
    assert (late.passed, late.reason) == (False, "the run did not reach its end")
    gone = evaluate(wishes[:1], {})[0]
    assert (gone.passed, gone.reason) == (False, "the run ended before it was measured")


def test_a_reopened_run_equals_the_one_that_was_made(tmp_path: Path) -> None:
    made = run(ParquetSink(tmp_path / "x"), price_usd_per_j=1e-8)
    opened = open_run(tmp_path / "x")
    assert dict(opened.metrics) == dict(made.metrics)
    assert opened.manifest == made.manifest
    assert list(opened.tables) == list(made.tables)
    (tmp_path / "x" / "metrics.json").unlink()
    assert dict(open_run(tmp_path / "x").metrics) == dict(made.metrics)


def test_the_manifest_says_where_the_result_came_from() -> None:
    manifest = run().manifest
    assert manifest["resolved"] == {"rackplan": 1, "name": "by-hand"}
    assert (manifest["seed"], manifest["seeds"], manifest["engine"]) == (7, 1, "reference")
    libraries = {"numpy", "simpy", "numba", "pyarrow"}
    assert set(manifest["versions"]) == {"rackplan", "code", "python", *libraries}
    assert "linear" in manifest["definitions"]["quantile"]
    assert manifest["definitions"]["interval"] == "none: one seed"
    assert manifest["tables"]["requests"] == 2000
    assert json.loads(json.dumps(dict(manifest), allow_nan=False)) == manifest


def test_what_json_cannot_hold_is_made_plain() -> None:
    made = plain({"a": float("inf"), "b": (1, Path("x/y")), "c": np.float64(2.0)})
    assert made == {"a": "inf", "b": [1, "x/y"], "c": 2.0}
    with pytest.raises(TypeError, match="a manifest cannot hold"):
        plain({"a": object()})


def test_a_table_that_was_not_recorded_says_so() -> None:
    result = run(record="summary")
    with pytest.raises(MissingTable, match="this run has no table 'requests': it was not recorded"):
        result.tables["requests"]
    with pytest.raises(KeyError, match="did you mean 'replicas'"):
        result.tables["replica"]


def test_a_sink_that_cannot_be_read_back_makes_no_result() -> None:
    class Printer:
        def write(self, table: str, columns: Any) -> None: ...
        def abort(self, reason: str) -> None: ...

    with pytest.raises(ResultError, match="Printer cannot give its tables back"):
        freeze(Printer(), parts())
    with pytest.raises(ResultError, match="Printer cannot give its tables back"):
        run(cast(Any, Printer()))


def spoil(folder: Path, **changes: Any) -> None:
    file = folder / "manifest.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **changes}))


def check_refused(folder: Path, message: str) -> None:
    with pytest.raises(ResultError) as caught:
        open_run(folder).tables["requests"]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_manifests_are_refused_in_one_line(tmp_path: Path) -> None:
    def damage(name: str) -> Path:
        return run(ParquetSink(tmp_path / name)).save(tmp_path / name)

    check_refused(tmp_path / "nowhere", "there is no run folder")

    folder = damage("no-manifest")
    (folder / "manifest.json").unlink()
    check_refused(folder, "has no manifest.json: it is not the result of a run")

    for name, text, message in (
        ("cut", '{"format": 1, "outc', "is not JSON"),
        ("list", "[1, 2]", "is not the manifest of a run"),
        ("deep", "[" * 200_000, "is nested too deeply"),
        ("long-number", '{"format": ' + "1" * 5000 + "}", "is not JSON"),
        ("nan", '{"format": NaN}', "is not JSON: it has the number NaN"),
        ("infinite", '{"format": 1e999}', "is not JSON: it has the number 1e999"),
        ("beyond", '{"format": 1' + "0" * 400 + "}", "which no run measures"),
        ("other", '{"hello": 1}', "is not the manifest of a run"),
        ("bytes", "\udcff", "is not JSON"),
        ("huge", " " * (MAX_JSON_BYTES + 1), "a run writes less than"),
    ):
        folder = damage(name)
        (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        check_refused(folder, message)

    for name, change, message in (
        ("newer", {"format": 99}, "was written in format 99 (rackplan 0.1.0); this rackplan reads"),
        ("no-window", {"window": {}}, "'window.warm_up_s' is missing"),
        ("strange-table", {"tables": {"../../etc": 1}}, "table '../../etc' with 1 rows"),
        ("boolean", {"seed": True}, "'seed' is missing or not what a run writes"),
        ("negative", {"seed": -1}, "'seed' is below 0"),
        ("nameless", {"pools": [{}]}, "an entry of 'pools' has no name"),
    ):
        folder = damage(name)
        spoil(folder, **change)
        check_refused(folder, message)


def test_damaged_tables_are_refused_in_one_line(tmp_path: Path) -> None:
    outside = run(ParquetSink(tmp_path / "outside")).folder
    assert outside is not None

    def damage(name: str) -> Path:
        return run(ParquetSink(tmp_path / name)).save(tmp_path / name)

    folder = damage("rows")
    spoil(folder, tables={**run().manifest["tables"], "requests": 1999})
    check_refused(folder, "has 2000 rows where the manifest says 1999")

    folder = damage("linked-manifest")
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to(outside / "manifest.json")
    check_refused(folder, "links are not followed")

    folder = damage("linked-table")
    for file in (folder / "requests").iterdir():
        file.unlink()
    (folder / "requests").rmdir()
    (folder / "requests").symlink_to(outside / "requests")
    check_refused(folder, "links are not followed")

    folder = damage("no-part")
    next((folder / "requests").iterdir()).unlink()
    check_refused(folder, "has 0 part files where the manifest says 1")

    folder = damage("cut-part")
    file = next((folder / "requests").iterdir())
    file.write_bytes(file.read_bytes()[:100])
    check_refused(folder, "cannot be read as Parquet")

    folder = damage("other-part")
    file = next((folder / "requests").iterdir())
    file.write_bytes(next((folder / "power").iterdir()).read_bytes())
    check_refused(folder, "does not have the columns of table 'requests'")

    folder = damage("metrics")
    (folder / "metrics.json").write_text('{"chat.ttft_p99": {"value": "x", "unit": "s"}}')
    check_refused(folder, "metrics.json is damaged at 'chat.ttft_p99'")


def test_prefix_hits_are_a_share_of_the_prompts_that_were_admitted() -> None:
    rows = part(requests(600), 0, 600)
    rows["prefix_hit_tokens"] = np.arange(600) % 50
    rows["input_tokens"] = np.full(600, 100)
    away = np.arange(600) % 6 == 0  # never admitted, so neither share counts them
    for name in ("admitted_s", "first_token_s"):
        rows[name] = np.where(away, np.nan, rows[name])
    rows["prefix_hit_tokens"][away] = 0
    rows["outcome"] = np.where(away, "queue-full", "completed")
    rows["met"] = np.where(away, False, rows["met"])
    measured = (rows["arrival_s"] >= 60.0) & ~away
    expected = rows["prefix_hit_tokens"][measured].sum() / (100 * measured.sum())
    for record in ("full", "summary"):
        metric = run(rows=rows, record=record).metrics["chat.prefix_hit_fraction"]
        assert metric.value == pytest.approx(expected, rel=1e-12)
        assert metric.definition.better == "higher"
    nobody = part(rows, 0, 600) | {
        "admitted_s": [None] * 600, "first_token_s": [None] * 600,
        "outcome": ["queue-full"] * 600, "met": [False] * 600,
    }  # fmt: skip
    metric = run(rows=nobody).metrics["chat.prefix_hit_fraction"]
    assert (metric.value, metric.reason) == (
        None, "no request of the measurement window was admitted"
    )  # fmt: skip


def test_metrics_are_the_same_row_group_by_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        (parquet, "GROUP_ROWS", 64), (parquet, "PART_ROWS", 256), (stored, "PART_ROWS", 256),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    rows = requests(1000)
    rows["workload"] = ["chat" if i % 3 else "code" for i in range(1000)]
    goals = {"chat": Goals(ttft_s=1.0, tpot_s=0.05), "code": Goals(ttft_s=1.0, tpot_s=0.05)}
    workloads = [{"name": name, "pool": "chat", "kind": "llm", "objectives": {}} for name in goals]
    made = []
    for inner in (MemorySink(), ParquetSink(tmp_path / "run")):
        sink = summariser(inner, objectives=goals)
        fill(sink, rows)
        made.append(freeze(sink, parts(workloads=workloads)))
    pieces = list(made[1].tables.pieces("requests", ["arrival_s"]))
    assert [piece.num_rows for piece in pieces] == [64] * 15 + [40]
    assert metrics_json(made[0].metrics) == metrics_json(made[1].metrics)
    chat = np.array([w == "chat" for w in rows["workload"]]) & (rows["arrival_s"] >= 60.0)
    ttft = (rows["first_token_s"] - rows["arrival_s"])[chat]
    assert made[1].metrics["chat.ttft_p99"].value == np.quantile(ttft, 0.99)
    assert made[1].metrics["chat.ttft_mean"].value == ttft.mean()
