"""Which folders are runs, and what reading one gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.listing import list_runs
from dashboard.load import Unreadable, read_run
from dashboard.style import plain


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
    listing = list_runs(runs.resolve())
    assert listing.names == ("complete",)
    assert [line.partition(":")[0] for line in listing.left_out] == [
        "'a b'",
        "'empty'",
        "'led-out'",
        "'linked'",
        "'placed'",
        "'several'",
    ]
    assert "rackplan show placed" in next(t for t in listing.left_out if "placement" in t)
    assert listing.missing == ""


def test_runs_are_listed_newest_first(made: Path) -> None:
    names = list_runs(made).names
    written = [(made / name / "manifest.json").stat().st_mtime for name in names]
    assert len(names) == 8
    assert written == sorted(written, reverse=True)


@pytest.mark.parametrize("name", ["../runs/complete", "complete/", ".", "", "/etc"])
def test_a_name_outside_the_listing_is_never_opened(runs: Path, name: str) -> None:
    with pytest.raises(Unreadable, match="there is no run"):
        read_run(list_runs(runs.resolve()), name)


def test_a_view_holds_what_the_run_says(made: Path) -> None:
    run = read_run(list_runs(made), "two")
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
