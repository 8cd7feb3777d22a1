"""``run`` and ``show``: readable without a terminal, JSON in one shape, exit codes that mean it."""

from __future__ import annotations

import io
import json
import re
import signal
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from sim.cli.run import progress_bar, run
from sim.cli.show import show
from sim.cli.summary import print_summary
from sim.cli.tree import print_tree
from sim.results.parquet import ParquetSink
from tests.unit.results.by_hand import Wish
from tests.unit.results.by_hand import run as run_by_hand

app = typer.Typer()
app.command()(run)
app.command()(show)

SCENARIO = """
rackplan: 1
name: tiny
duration: 20 s
warm_up: 5 s
site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-4, count: 1}]}]}]}
llms: [{name: llama-3.1-8b, precision: fp8}]
pools: [{name: chat, llm: llama-3.1-8b, replicas: 2}]
workload: [{name: chat, pool: chat, source: synthetic-chat, rate: 2 /s, slo: {ttft: 2 s}}]
expect: [chat.goodput_fraction >= 0 %]
"""


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "tiny.yaml"
    file.write_text(SCENARIO)
    return file


def test_run_answers_and_show_repeats_the_answer(scenario: Path) -> None:
    made = CliRunner().invoke(app, ["run", str(scenario)])
    assert made.exit_code == 0, made.output
    assert "\x1b" not in made.stdout
    assert max(map(len, made.stdout.splitlines())) <= 100
    assert re.search(r"^Peak memory: [\d,]+ MiB$", made.stderr, re.MULTILINE)
    assert "power is unlimited" in made.stdout
    assert "✓ chat.goodput_fraction >= 0 %" in made.stdout
    (folder,) = Path("runs").iterdir()
    assert re.fullmatch(r"tiny-[0-9a-f]{8}-s1", folder.name)
    shown = CliRunner().invoke(app, ["show", folder.name])
    assert shown.exit_code == 0
    assert shown.stdout == made.stdout


def test_json_has_one_shape_for_both_commands(scenario: Path) -> None:
    made = CliRunner().invoke(app, ["run", str(scenario), "--json", "--seed", "3", "--out", "o"])
    content = json.loads(made.stdout)
    shape = ["run", "outcome", "metrics", "expectations", "warnings"]
    assert list(content) == [*shape, "peak_memory_bytes"]
    assert 2**24 < content.pop("peak_memory_bytes") < 2**40
    assert content["run"].endswith("-s3")
    assert content["outcome"] == "complete"
    assert content["metrics"]["chat.ttft_p99"]["unit"] == "s"
    assert content["metrics"]["energy_cost_per_mtoken"] == {
        "value": None, "unit": "USD/Mtoken", "reason": "no energy price is stated",
    }  # fmt: skip
    shown = CliRunner().invoke(app, ["show", content["run"], "--json"])
    assert json.loads(shown.stdout) == content


def test_a_failed_expectation_exits_with_1(scenario: Path) -> None:
    change = "expect=[chat.goodput_fraction < 0 %]"
    made = CliRunner().invoke(app, ["run", str(scenario), "--set", change])
    assert made.exit_code == 1, made.output
    assert "✕ chat.goodput_fraction < 0 %" in made.stdout


def test_ctrl_c_keeps_what_there_is_and_exits_with_130(
    scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim.engine import run as engine_run

    real = engine_run.ReferencePlane.advance

    def advance(self: engine_run.ReferencePlane, until_s: float) -> object:
        if until_s > 12.0:
            signal.raise_signal(signal.SIGINT)
        return real(self, until_s)

    monkeypatch.setattr(engine_run.ReferencePlane, "advance", advance)
    made = CliRunner().invoke(app, ["run", str(scenario), "--engine", "reference"])
    assert made.exit_code == 130
    assert made.stdout == ""
    assert "stopped; " in made.stderr
    left = [path.name for path in Path("runs").iterdir()]
    assert all(name.endswith(".partial") for name in left)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_first_ctrl_c_waits_for_the_next_report_the_second_does_not() -> None:
    with progress_bar("x") as progress:
        progress(1.0, 10.0)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            progress(2.0, 10.0)


def rendered(encoding: str, tmp_path: Path) -> str:
    result = run_by_hand(
        ParquetSink(tmp_path / "x"),
        expectations=[Wish("over_budget_s <= 0 s", "over_budget_s", "<=", 0.0)],
        warnings=["a [red]warning[/red] with \x1b[31mcolour"],
    )
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    out = Console(file=file, width=100, markup=False, highlight=False, emoji=False)
    print_summary(result, out)
    print_tree(result, out)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_the_summary_shows_each_thing_an_engineer_asks_for(tmp_path: Path) -> None:
    text = rendered("utf-8", tmp_path)
    for part in (
        "OBJECTIVES MISSED",
        "chat misses its objectives",
        "1.11 s of 1.00 s ✕",
        "Binding limit: speed of pool chat: 5.74 % of chat requests missed",
        "also: power: utility peaked at 104 kW of 100 kW (104 %)",
        "250 kWh/Mtoken of output",
        "Warning: a [red]warning[/red] with \ufffd[31mcolour",
        "✕ over_budget_s <= 0 s  (12.0 s)",
        f"Results: {tmp_path / 'x'}",
        "Try next: more replicas: --set 'pools[chat].replicas=3'",
        "  ups-a                    ██████████",
        "headroom 99.0 kW",
    ):
        assert part in text
    assert "\x1b" not in text


def test_the_tree_and_the_marks_do_without_unicode(tmp_path: Path) -> None:
    text = rendered("latin-1", tmp_path)
    assert "FAILED over_budget_s" in text
    assert "##########.........." in text
