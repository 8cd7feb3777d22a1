"""``rackplan catalog`` as a user sees it."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from sim import catalog as rows
from sim.cli.catalog import catalog
from sim.errors import UnknownName

APP = typer.Typer()
APP.command()(catalog)


def run(*arguments: str, columns: int = 120) -> str:
    result = CliRunner().invoke(
        APP, arguments, env={"COLUMNS": f"{columns}", "TERM": "dumb"}, catch_exceptions=False
    )
    assert result.exit_code == 0
    return result.output


def test_without_arguments_every_name_is_there() -> None:
    output = run()
    for kind in rows.KINDS:
        assert all(name in output for name in rows.names(kind))


@pytest.mark.parametrize("kind", rows.KINDS)
def test_a_kind_lists_each_entry_on_a_line(kind: str) -> None:
    lines = run(f"{kind}s").splitlines()
    for name in rows.names(kind):
        assert [line for line in lines if line.split()[:1] == [name]]


@pytest.mark.parametrize("kind", rows.KINDS)
def test_a_narrow_terminal_cuts_nothing(kind: str) -> None:
    assert run(kind, columns=30) == run(kind, columns=80)
    assert "…" not in run(kind, columns=30)


def test_main_numbers_of_a_gpu() -> None:
    line = next(line for line in run("gpu").splitlines() if "h100-sxm" in line)
    assert line.split() == [
        "h100-sxm", "85.5", "GB", "3.35", "TB/s", "989", "TFLOP/s", "1,979", "TFLOP/s", "700", "W",
    ]  # fmt: skip


def test_an_entry_shows_value_mark_source_and_licence() -> None:
    output = run("gpu", "H100")
    line = next(line for line in output.splitlines() if line.strip().startswith("tdp"))
    assert line.split() == ["tdp", "700", "W", "read", "glennklockwood-h100"]
    assert "https://glennklockwood.com/garden/processors/h100 · all rights reserved" in output
    assert "read: found in the source. assumed:" in output


def test_a_name_alone_is_enough() -> None:
    assert run("deepseek-v3") == run("llm", "deepseek-v3")


def test_a_name_goes_before_an_alias() -> None:
    assert run("gb200-nvl72").startswith("gb200-nvl72 (rack, data/hardware/racks.yaml)")
    assert run("nvidia-gb200").startswith("gb200 (gpu, data/hardware/gpus.yaml)")


def test_json_of_everything() -> None:
    assert json.loads(run("--json")) == {kind: list(rows.names(kind)) for kind in rows.KINDS}


def test_json_of_a_kind() -> None:
    entries = json.loads(run("rack", "--json"))
    assert [entry["name"] for entry in entries] == list(rows.names("rack"))


def test_json_of_an_entry() -> None:
    shown = json.loads(run("gpu", "b200", "--json"))
    assert (shown["kind"], shown["name"], shown["file"]) == (
        "gpu",
        "b200",
        "data/hardware/gpus.yaml",
    )
    assert shown["fields"]["tdp"] == {
        "text": "1000 W",
        "value": 1000.0,
        "unit": "W",
        "mark": "read",
        "source": "verda-gb300",
        "title": "Verda (DataCrunch), GB300 NVL72 architecture",
        "address": "https://verda.com/blog/gb300-nvl72-architecture",
        "licence": "all rights reserved (facts cited)",
        "note": None,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("h100x",), "unknown catalog kind or name 'h100x' (did you mean 'h100-sxm'?)"),
        (("gpu", "h100-sx"), "unknown GPU 'h100-sx' (did you mean 'h100-sxm'?)"),
        (("lmm", "qwen3-8b"), "unknown catalog kind 'lmm' (did you mean 'llm'?)"),
        (
            ("traffic",),
            "unknown catalog kind or name 'traffic' "
            "(known: breaker, cost, gear, gpu, link, llm, measured, node, plant, precision, price, "
            "rack, "
            "superpod, switch, ups)",
        ),
    ],
)
def test_unknown_names(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UnknownName) as caught:
        run(*arguments)
    assert str(caught.value) == message
