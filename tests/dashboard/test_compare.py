"""The page Compare: it says what ``rackplan compare`` says, and why it says nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from dashboard.frames.compare import axis_limit, forest, headline, load_note, spoken
from dashboard.frames.sides import groups, names_of, other_than, read_side, why_not
from dashboard.listing import list_results
from sim.cli.compare import compare as command
from sim.results.result import open_run
from sim.study.changes import Change
from sim.study.compare import compare
from tests.dashboard.conftest import chart_rows, damage, make_run, specification, table, texts
from tests.dashboard.made_studies import make_seeds

App = Callable[..., AppTest]
HOSTILE = "![x](http://evil.example/p.png)<script>alert(1)</script>"

cli = typer.Typer()
cli.command()(command)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenarios under four seeds each, and their single runs beside them."""
    folder = tmp_path_factory.mktemp("compared") / "runs"
    folder.mkdir()
    make_seeds(folder, range(1, 5))
    make_seeds(folder, range(1, 5), ["pools[chat].replicas=2"])
    return folder


@pytest.fixture
def several(root: Path) -> tuple[str, str]:
    """The folders of all seeds."""
    first, second = sorted(path.name for path in root.glob("tiny-*-s1-4"))
    return (first, second)


@pytest.fixture
def own(root: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    shutil.copytree(root, tmp_path / "runs")
    return tmp_path / "runs"


def said_by_the_command(root: Path, a: str, b: str) -> dict[str, dict[str, float]]:
    done = CliRunner().invoke(cli, [str(root / a), str(root / b), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["metrics"]
    assert isinstance(found, dict)
    return found


def test_the_page_says_what_the_command_says(
    app: App, root: Path, several: tuple[str, str]
) -> None:
    a, b = several
    page = app(root, "compare", a=a, b=b)
    assert not page.exception
    wanted = said_by_the_command(root, a, b)
    rows = table(page, 0)
    assert [row["metric"] for row in rows] == list(wanted)
    verdicts = {"B better": "better", "B worse": "worse", "not shown": "no difference shown"}
    for row in rows:
        verdict = wanted[row["metric"]]["verdict"]
        assert verdicts.get(row["verdict"], row["verdict"]) == verdict
    (drawn,) = [rows for rows in chart_rows(page, 0) if rows and "from" in rows[0]][:1]
    for row in drawn:
        line = wanted[row["metric"]]
        scale = 100.0 / abs(line["a"])
        assert row["percent"] == pytest.approx(scale * line["difference"])
        assert row["low"] == pytest.approx(scale * line["low"])
        assert row["high"] == pytest.approx(scale * line["high"])
    spec = specification(page, 0)
    titles = {layer["encoding"].get("x", {}).get("title") for layer in spec["layer"]}
    assert titles == {"difference of B, in % of A"}
    named = next(layer for layer in spec["layer"] if "y" in layer["encoding"])
    assert named["encoding"]["y"]["axis"]["labelOverlap"] is False
    looked_at = sum(line["p"] is not None for line in wanted.values())
    assert f"corrected (Holm) for the {looked_at} looked at" in " ".join(texts(page))


def test_the_interval_is_students_over_paired_differences(
    root: Path, several: tuple[str, str]
) -> None:
    """Hand-worked: mean ± 3.182 s / √4 over four pairs of runs."""
    stems = [name.removesuffix("-s1-4") for name in several]
    folders = [[root / f"{stem}-s{seed}" for seed in range(1, 5)] for stem in stems]
    draws = np.array(
        [[open_run(one).metrics["mean_draw_w"].value for one in side] for side in folders]
    )
    pairs = draws[1] - draws[0]
    half = 3.182446305 * pairs.std(ddof=1) / 2.0
    listing = list_results(root)
    found = compare(*(read_side(listing, name)[0] for name in several))
    frame = forest(found).frame.set_index("metric")
    mean_a = draws[0].mean()
    row = frame.loc["mean_draw_w"]
    assert row["percent"] == pytest.approx(100.0 * pairs.mean() / mean_a)
    assert row["low"] == pytest.approx(100.0 * (pairs.mean() - half) / mean_a)
    assert row["high"] == pytest.approx(100.0 * (pairs.mean() + half) / mean_a)


def test_single_runs_of_a_scenario_are_a_group(
    app: App, own: Path, several: tuple[str, str]
) -> None:
    assert groups(list_results(own)) == {}  # the folders of all seeds stand for them
    for name in several:
        shutil.rmtree(own / name)
    listing = list_results(own)
    stems = [name.removesuffix("-s1-4") for name in several]
    found = groups(listing)
    members = {stem: tuple(f"{stem}-s{seed}" for seed in range(1, 5)) for stem in stems}
    assert found == {f"{stem}-s*": runs for stem, runs in members.items()}
    page = app(own, "compare", a=f"{stems[0]}-s*", b=f"{stems[1]}-s*")
    assert not page.exception
    together = compare(*(read_side(listing, f"{stem}-s*")[0] for stem in stems))
    assert together.seeds == (1, 2, 3, 4)
    assert [row["metric"] for row in table(page, 0)] == [d.name for d in together.differences]
    assert any("paired under seeds 1 to 4" in text for text in texts(page))


def test_runs_that_only_share_a_name_are_no_group(
    app: App, own: Path, several: tuple[str, str]
) -> None:
    shutil.rmtree(own / several[0])
    stem = several[0].removesuffix("-s1-4")
    damage(own, lambda manifest: manifest["resolved"].update(name="another"), f"{stem}-s3")
    page = app(own, "compare", a=f"{stem}-s*", b=several[1])
    assert not page.exception
    assert f"{stem}-s3 and {stem}-s1 are not of the same scenario" in " ".join(texts(page))


def test_one_seed_each_has_no_interval(app: App, root: Path, several: tuple[str, str]) -> None:
    a, b = (f"{name.removesuffix('-s1-4')}-s1" for name in several)
    page = app(root, "compare", a=a, b=b)
    assert not page.exception
    said = texts(page)
    assert any(text.startswith("One seed each: no interval can be given") for text in said)
    assert {row["verdict"] for row in table(page, 0)} == {"not judged"}
    spec = specification(page, 0)
    points = [layer["mark"] for layer in spec["layer"] if layer["mark"]["type"] == "point"]
    assert points
    assert not any(mark["filled"] for mark in points if "shape" not in mark)


def test_the_same_result_twice(app: App, root: Path, several: tuple[str, str]) -> None:
    page = app(root, "compare", a=several[0], b=several[0])
    assert not page.exception
    assert "A and B are the same result" in texts(page)
    assert not page.get("vega_lite_chart")


def test_by_default_two_of_the_same_scenario_are_compared(app: App, root: Path) -> None:
    page = app(root, "compare")
    assert not page.exception
    names = names_of(list_results(root))
    assert page.selectbox(key="a").value == names[0]
    assert page.selectbox(key="b").value == names[1]
    assert names[0] != names[1]
    assert other_than(("x-00000000-s1-4", "y-00000000-s1", "x-11111111-s1"), 0) == 2
    assert other_than(("alone",), 0) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["window"].update(measured_s=99.0), "Their windows differ: A measures 10.0 s"),
        (lambda m: m["workloads"][0].update(name="other"), "Their workloads differ: A serves chat"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(
    root: Path, several: tuple[str, str], change: Callable[[dict[str, Any]], None], said: str
) -> None:
    listing = list_results(root)
    a, b = (read_side(listing, name)[0] for name in several)
    assert why_not(a, b) == ""
    manifest = json.loads(json.dumps(dict(b.manifest)))
    change(manifest)
    other = type(b)(b.name, manifest, b.by_seed, b.power_nodes)
    assert why_not(a, other).startswith(said)


def test_another_window_is_refused_on_the_page(
    app: App, own: Path, several: tuple[str, str]
) -> None:
    make_run(own, "longer-00000000-s1", sets=["duration=20 s"])
    page = app(own, "compare", a=several[0], b="longer-00000000-s1")
    assert not page.exception
    said = texts(page)
    assert "A and B are not comparable" in said
    assert any("Run both with the same duration and warm_up" in text for text in said)
    assert not page.get("vega_lite_chart")
    assert page.code[0].language == "diff"
    assert "-duration_s: 15.0" in page.code[0].value
    assert "+duration_s: 20.0" in page.code[0].value


def test_the_difference_of_the_scenarios_is_a_diff(
    app: App, root: Path, several: tuple[str, str]
) -> None:
    page = app(root, "compare", a=several[0], b=several[1])
    lines = page.code[0].value.splitlines()
    changed = {line.replace(" ", "") for line in lines if re.match(r"[-+](?![-+])", line)}
    assert changed == {"-replicas:4", "+replicas:2"} or changed == {"+replicas:4", "-replicas:2"}


def test_partial_broken_and_hostile_results(
    app: App, own: Path, made: Path, several: tuple[str, str]
) -> None:
    shutil.copytree(made / "stopped.partial", own / "stopped.partial")
    page = app(own, "compare", a="stopped.partial", b=several[1])
    assert not page.exception
    assert any("is not whole" in text for text in texts(page))
    (own / several[0] / "by_seed.json").write_text('{"mean_draw_w": {"unit": "W", "values": [1]}}')
    page = app(own, "compare", a=several[0], b=several[1])
    assert not page.exception
    assert any("by_seed.json is damaged at 'mean_draw_w'" in text for text in texts(page))
    page = app(own, "compare", a="../../etc", b=several[1])
    assert not page.exception
    assert any("'../../etc' is not in" in text for text in texts(page))


def test_text_of_files_is_text(app: App, own: Path, several: tuple[str, str]) -> None:
    for name in several:
        damage(own, lambda m: m.update(scenario=HOSTILE, engine=HOSTILE), name)
    damage(own, lambda m: m["resolved"].update(name=HOSTILE), several[1])
    damage(own, lambda m: m["inputs"].update({HOSTILE: "0"}), several[1])
    page = app(own, "compare", a=several[0], b=several[1])
    assert not page.exception
    assert not page.markdown
    assert any(HOSTILE in text for text in texts(page))
    assert HOSTILE in page.code[0].value


def test_metrics_can_be_chosen_beforehand(app: App, root: Path, several: tuple[str, str]) -> None:
    page = app(root, "compare", a=several[0], b=several[1])
    page.multiselect(key="metrics").set_value(["chat.ttft_p99"]).run()
    assert not page.exception
    assert [row["metric"] for row in table(page, 0)] == ["chat.ttft_p99"]
    assert any("corrected (Holm) for the 1 looked at" in text for text in texts(page))


def test_no_result_at_all(app: App, tmp_path: Path) -> None:
    page = app(tmp_path, "compare")
    assert not page.exception
    assert "No run to show yet" in texts(page)


def test_far_outliers_do_not_set_the_axis() -> None:
    assert axis_limit([1.0, 2.0, 3.0, 5.0]) == 5.0
    assert axis_limit([1.0, 2.0, 3.0, 100.0]) == 3.0
    # No more than a quarter is cut off, whatever its size.
    assert axis_limit([1.0, 2.0, 100.0, 110.0]) == 110.0
    assert axis_limit([0.0, 0.0]) == 1.0


def test_metrics_are_spoken_of_as_people_do() -> None:
    assert spoken("chat.ttft_p99") == "chat TTFT p99"
    assert spoken("chat.goodput_fraction") == "chat goodput"
    assert spoken("mean_draw_w") == "mean draw"


def test_the_sentence_names_size_direction_and_interval(
    root: Path, several: tuple[str, str]
) -> None:
    listing = list_results(root)
    found = compare(*(read_side(listing, name)[0] for name in several))
    sentence, _ = headline(found)
    for text, low, high in re.findall(r"([\d.]+) % (?:higher|lower) \(([\d.]+) to ([\d.]+) %\)",
                                      sentence):  # fmt: skip
        assert float(low) <= float(text) <= float(high)
    real = [d for d in found.differences if d.verdict in ("better", "worse")]
    assert any(spoken(line.name) in sentence for line in real)


def test_different_loads_are_told(root: Path, several: tuple[str, str]) -> None:
    listing = list_results(root)
    found = compare(*(read_side(listing, name)[0] for name in several))
    assert load_note(found) == ""
    paths = [f"workload[chat].{part}" for part in ("rate", "source", "slo")]
    other = replace(found, changes=tuple(Change(path, 1, 2) for path in paths))
    assert load_note(other).startswith(
        "the loads differ (workload[chat].rate, workload[chat].source and 1 more)"
    )


def deep(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["window"].pop("measured_s"),
        lambda manifest: manifest["window"].update(measured_s="long"),
        lambda manifest: manifest["pools"][0].update(expected_error={"h100": 3}),
        lambda manifest: manifest["resolved"].update(deep=deep(600)),
        lambda manifest: manifest.update(runs={"x": "y"}),
        lambda manifest: manifest.update(failed=[3]),
        lambda manifest: manifest.update(inputs=[]),
    ],
)
def test_a_strange_manifest_breaks_no_page(
    app: App, own: Path, several: tuple[str, str], change: Callable[[dict[str, Any]], None]
) -> None:
    damage(own, change, several[1])
    page = app(own, "compare", a=several[0], b=several[1])
    assert not page.exception
    assert page.get("vega_lite_chart") or any(
        text.startswith(("A and B are not", "B cannot be")) for text in texts(page)
    )


def test_numbers_that_no_run_measures_are_not_drawn(
    app: App, own: Path, several: tuple[str, str]
) -> None:
    file = own / several[1] / "by_seed.json"
    content = json.loads(file.read_text())
    content["mean_draw_w"]["values"][0] = float("nan")
    content["peak_draw_w"]["values"][0] = float("inf")
    file.write_text(json.dumps(content))
    page = app(own, "compare", a=several[0], b=several[1])
    assert not page.exception
    assert any("no run measures" in text for text in texts(page))
