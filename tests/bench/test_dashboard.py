"""How soon pages of the dashboard are painted over a day of ten million requests, and why.

The run is real: it is simulated first (about half a minute). Times are seconds as a user waits,
in Chromium, with a server that has read nothing before. Ratios are CPU time of the same answer
from the rows of the ``requests`` table over that from the summary that every run writes.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import duckdb
import pytest

from dashboard.frames.bins import minutes_per_bin
from dashboard.listing import RUN, list_results
from dashboard.load import RunView, read_run
from dashboard.pages import PAGES
from sim.engine.api import load_scenario, run_scenario
from sim.results.parquet import ParquetSink
from tests.bench.figures import REQUESTS, Figures, cpu_s
from tools.window import Window, browser, served

#: A day at 117 requests a second is ten million; fewer requests are a shorter day.
DAY_S, RATE = 86_400.0, 117.0
SCENARIO = """\
rackplan: 1
name: ten-million
duration: {seconds} s
warm_up: 10 min
record: {{level: full, power: minutes}}
site:
  halls:
    - name: hall-a
      rows:
        - {{name: row-1, racks: [{{type: dgx-h100-4, count: 8}}]}}
        - {{name: row-2, racks: [{{type: dgx-h100-4, count: 8}}]}}
        - {{name: row-3, racks: [{{type: dgx-h100-4, count: 8}}]}}
        - {{name: row-4, racks: [{{type: dgx-h100-4, count: 8}}]}}
power:
  utility: {{budget: 1.2 MW}}
  ups: [{{name: ups-a, rating: 1.25 MW}}, {{name: ups-b, rating: 1.25 MW}}]
  pdus: {{per_row: 2, rating: 500 kW, redundancy: 2N}}
llms: [{{name: llama-3.1-8b, precision: bf16}}]
pools:
  - {{name: chat, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 64}}
  - {{name: code, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 32}}
workload:
  - name: chat
    pool: chat
    source: synthetic-chat
    rate: 90 /s
    slo: {{ttft: 200 ms, tpot: 30 ms}}
  - {{name: code, pool: code, source: synthetic-code, rate: 27 /s, slo: {{ttft: 150 ms}}}}
events: [{{at: {fails} s, fail: ups-b}}, {{at: {back} s, restore: ups-b}}]
"""
# The same quantiles over time, from the rows and from the counts of bins.
RAW = """
    select floor(arrival_s / 60 / $per)::integer as slot, count(*) as n,
           quantile_cont(first_token_s - arrival_s, 0.5) as p50,
           quantile_cont(first_token_s - arrival_s, 0.99) as p99
    from read_parquet($files) where workload = 'chat' group by slot
"""
COUNTED = """
    select minute // $per as slot, bin, sum(n)::bigint as n from read_parquet($files)
    where workload = 'chat' and metric = 'ttft' group by all
"""
CAUSES_RAW = """
    select workload, outcome, met, count(*) as n from read_parquet($files) group by all
"""
CAUSES = """
    select workload, outcome, cause, sum(n) as n from read_parquet($files) group by all
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, and 49 copies of a small one beside it."""
    folder = tmp_path_factory.mktemp("large") / "runs"
    asked = 10_000_000 if REQUESTS >= 4_000_000 else REQUESTS
    seconds = round(max(3600.0, DAY_S * asked / (DAY_S * RATE)))
    file = folder.parent / "large.yaml"
    text = SCENARIO.format(seconds=seconds, fails=seconds // 2, back=seconds // 2 + 600)
    file.write_text(text)
    run_scenario(load_scenario(file), 1, sink=ParquetSink(folder / "large"))
    small = load_scenario(file, sets=["duration=20 min", "events=[]"])
    run_scenario(small, 1, sink=ParquetSink(folder / "small-0"))
    for number in range(1, 49):
        shutil.copytree(folder / "small-0", folder / f"small-{number}")
    return folder


@pytest.fixture
def run(root: Path) -> RunView:
    return read_run(list_results(root), "large")


@pytest.mark.bench
def test_summaries_against_the_rows_behind_them(run: RunView, figures: Figures) -> None:
    figures.add("dashboard: requests of the run", run.rows("requests"), "")
    connection = duckdb.connect(config={"threads": 1})
    per = minutes_per_bin(run.end_s, run.rows("requests"))

    def ask(sql: str, table: str, **bound: object) -> int:
        files = [str(file) for file in run.result.tables.files[table]]
        return len(connection.execute(sql, {"files": files, **bound}).df())

    for name, raw, counted, table, bound in (
        ("TTFT over time", RAW, COUNTED, "summary/latency", {"per": per}),
        ("outcomes and causes", CAUSES_RAW, CAUSES, "summary/counts", {}),
    ):
        slow = cpu_s(lambda raw=raw, bound=bound: ask(raw, "requests", **bound))
        quick = cpu_s(lambda sql=counted, table=table, bound=bound: ask(sql, table, **bound))
        figures.add(f"dashboard: {name}, rows over summary", slow / quick, "×")
        assert slow > quick


@pytest.mark.bench
def test_results_are_listed_at_once(root: Path, figures: Figures) -> None:
    assert len(list_results(root).names(RUN)) == 50
    figures.add("dashboard: 50 runs listed", cpu_s(lambda: list_results(root)) * 1e3, "ms")


@pytest.mark.bench
def test_pages_are_painted_soon(root: Path, figures: Figures) -> None:
    with served(root) as url, browser() as opened:
        tab = Window(opened, url)
        start = time.perf_counter()
        tab.open(run="large")
        figures.add("dashboard: first page, cold", time.perf_counter() - start, "s")
        order = [*PAGES[1:], PAGES[0]]
        for when in ("first", "again"):
            for _, title in order:
                figures.add(f"dashboard: {title} by menu, {when}", tab.menu(title), "s")
                assert tab.exceptions() == []
        tab.another_tab()
        start = time.perf_counter()
        tab.open(run="large")
        figures.add("dashboard: first page of another tab", time.perf_counter() - start, "s")
        tab.close()
        new = Window(opened, url)
        start = time.perf_counter()
        new.open(run="large")
        figures.add("dashboard: first page of a new browser", time.perf_counter() - start, "s")
        new.close()
