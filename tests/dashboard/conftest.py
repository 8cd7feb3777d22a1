"""Small real runs, and the app over them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from streamlit import config
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from dashboard.charts.marks import Picture
from dashboard.listing import ROOT_VARIABLE, RUN_VARIABLE
from sim.engine.api import Interrupted, load_scenario, run_scenario
from sim.results.parquet import ParquetSink
from tests.dashboard.power_runs import CONTROLLED, HOUSE, LONG

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"

SCENARIO = """\
rackplan: 1
name: tiny
duration: 30 s
warm_up: 5 s
drain: 10 s
site: {halls: [{name: h, rows: [{name: r, racks: [{type: dgx-h100-4, count: 1}]}]}]}
power:
  utility: {budget: 45 kW}
llms: [{name: llama-3.1-8b, precision: bf16}]
pools: [{name: chat, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 4}]
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 256, output_tokens: 64}
    rate: 20 /s
    slo: {ttft: 2 s, tpot: 60 ms}
expect:
  - chat.goodput_fraction >= 99 %
  - over_budget_s <= 0 s
"""
SECOND_WORKLOAD = """\
  - name: code
    pool: chat
    source: {input_tokens: 2048, output_tokens: 8}
    rate: 2 /s
    slo: {ttft: 5 ms, e2e: 10 s}
"""


def make_run(
    root: Path,
    name: str,
    scenario: str = SCENARIO,
    sets: Sequence[str] = (),
    stop_s: float | None = None,
) -> Path:
    """Run ``scenario`` into ``root/name`` (``name.partial`` if stopped); the folder."""
    root.mkdir(parents=True, exist_ok=True)
    file = root / f"{name}.yaml"
    file.write_text(scenario)
    checked = load_scenario(file, sets=sets)
    file.unlink()

    def progress(simulated_s: float, total_s: float) -> None:
        if stop_s is not None and simulated_s >= stop_s:
            raise KeyboardInterrupt

    try:
        run_scenario(checked, 0, sink=ParquetSink(root / name), progress=progress)
    except Interrupted as stop:
        return root / stop.partial.name
    return root / name


@pytest.fixture(scope="session", autouse=True)
def _nothing_between_pages() -> Iterator[None]:
    """An AppTest would look for components in every installed package, and for garbage in all that
    tests import, each of which takes longer than a page. Pages are not rewritten, as in the server.
    """
    config.set_option("runner.magicEnabled", False)
    config.set_option("runner.postScriptGC", False)
    with pytest.MonkeyPatch.context() as patch:
        once = cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", once)
        yield


@pytest.fixture(autouse=True)
def _main_stays_main() -> Iterator[None]:
    """A script that Streamlit runs becomes ``__main__``, and processes that are spawned afterwards
    would run it again."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(autouse=True)
def _pictures_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the schema of Vega-Lite, which takes too long while a user waits."""
    monkeypatch.setattr(Picture, "checked", True)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that no test changes."""
    root = tmp_path_factory.mktemp("made") / "runs"
    make_run(root, "complete")
    make_run(root, "over-budget", sets=["power.utility.budget=15 kW"])
    make_run(root, "summary", sets=["duration=200 s", "record=summary"])
    bare, _, _ = SCENARIO.replace("    slo: {ttft: 2 s, tpot: 60 ms}\n", "").partition("expect:")
    make_run(root, "no-objectives", bare)
    unlimited = SCENARIO.replace("power:\n  utility: {budget: 45 kW}\n", "")
    make_run(root, "unlimited", unlimited.replace("  - over_budget_s <= 0 s\n", ""))
    make_run(root, "two", SCENARIO.replace("expect:", f"{SECOND_WORKLOAD}expect:"))
    make_run(root, "idle", sets=["workload[chat].rate=0.000001 /s"])
    make_run(root, "stopped", sets=["duration=10 min"], stop_s=20.0)
    return root


@pytest.fixture(scope="session")
def powered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs for the pages Floor and Power (``power_runs``), that no test changes."""
    root = tmp_path_factory.mktemp("powered") / "runs"
    make_run(root, "house", HOUSE)
    make_run(root, "controlled", CONTROLLED)
    make_run(root, "long", LONG)
    return root


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A folder of its own with one run, ``complete``, to be damaged."""
    root = tmp_path / "runs"
    shutil.copytree(made / "complete", root / "complete")
    return root


@cache
def _page_hash(page: str) -> str:
    """By what the app knows a page; an AppTest can name one only after its first run.

    A page that is opened after another one does not see the parameters of the URL in its first
    run, as it would in a browser.
    """
    first = AppTest.from_file(str(APP), default_timeout=30).run()
    first.switch_page(f"views/{page}.py")
    return str(first._page_hash)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """``app(root, "power", run=…)``: a page over a folder after its first run."""

    def start(root: Path, page: str = "overview", **query: str) -> AppTest:
        monkeypatch.setenv(ROOT_VARIABLE, str(root))
        monkeypatch.delenv(RUN_VARIABLE, raising=False)
        test = AppTest.from_file(str(APP), default_timeout=30)
        for name, value in query.items():
            test.query_params[name] = value
        if page != "overview":
            test._page_hash = _page_hash(page)
        return test.run()

    return start


def damage(runs: Path, change: Callable[[dict[str, Any]], None], name: str = "complete") -> None:
    """Change the manifest of a run under ``runs``."""
    file = runs / name / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


def texts(app: AppTest) -> list[str]:
    """All plain text of a page, in order."""
    return [element.value for element in app.text]


def specification(app: AppTest, place: int) -> dict[str, Any]:
    """The Vega-Lite specification of a chart of the page, without its data."""
    spec = json.loads(app.get("vega_lite_chart")[place].proto.spec)
    assert isinstance(spec, dict)
    return spec


def chart_rows(app: AppTest, place: int) -> list[list[dict[str, Any]]]:
    """The rows of each of the frames that a chart of the page was sent."""
    return [
        pa.ipc.open_stream(data.data.data).read_all().to_pylist()
        for data in app.get("vega_lite_chart")[place].proto.datasets
    ]


def table(app: AppTest, place: int) -> list[dict[str, Any]]:
    """The rows of a table of the page."""
    return [dict(row) for row in app.dataframe[place].value.to_dict("records")]
