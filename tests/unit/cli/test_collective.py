"""``rackplan collective``: what it prints, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sim.cli.app import app

QUICKSTART = str(Path(__file__).parents[3] / "scenarios" / "quickstart.yaml")
EIGHT = ("all-reduce", "--bytes", "64MB", "--gpu", "h100-sxm", "--gpus", "8")
TWO = ("all-reduce", "--bytes", "1GiB", "--gpu", "h100-sxm", "--gpus", "16", "--nodes", "2")
SITE = ("all-reduce", "--bytes", "64MB", "--scenario", QUICKSTART)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["collective", *arguments])


def answer(*arguments: str) -> dict[str, Any]:
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_lines_for_people() -> None:
    lines = invoke(*EIGHT).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["time", "algbw", "busbw", "algorithm", "basis"]
    assert lines[0].endswith(" µs, likely within 9.4 %")
    assert lines[2].endswith("GB/s (algbw × 1.75)")
    assert lines[-1] == "basis       measured"


def test_json_is_in_si_units() -> None:
    found = answer(*EIGHT)
    assert (found["op"], found["size_bytes"], found["gpus"]) == ("all-reduce", 64e6, 8)
    assert found["algorithm"] == "nvls"
    assert found["time_s"] == min(found["candidates_s"].values())
    assert found["algbw_bytes_per_s"] == pytest.approx(64e6 / found["time_s"])
    assert found["busbw_bytes_per_s"] == pytest.approx(1.75 * found["algbw_bytes_per_s"])
    assert (found["basis"], found["not_measured"]) == ("measured", [])
    assert "fabric" not in found


def test_aliases_and_gpus_that_are_only_measured() -> None:
    assert answer(*EIGHT[:4], "h100", "--gpus", "8") == answer(*EIGHT)
    assert answer(*EIGHT[:4], "B300", "--gpus", "8")["basis"] == "measured"


def test_integers_add_up_more_slowly() -> None:
    assert answer(*EIGHT, "--dtype", "int8")["time_s"] > 1.1 * answer(*EIGHT)["time_s"]


def test_sums_of_fp8_are_said_not_to_be_measured() -> None:
    found = answer(*EIGHT, "--dtype", "fp8")
    assert found["not_measured"] == ["sums of fp8 were not measured: as int8"]
    assert found["error"] == 0.3
    assert found["time_s"] == answer(*EIGHT, "--dtype", "int8")["time_s"]
    moved = ("all-gather", *EIGHT[1:])
    assert answer(*moved, "--dtype", "fp8") == answer(*moved)


def test_two_servers_are_measured_and_eight_are_not() -> None:
    two = answer(*TWO, "--nic", "400Gb/s")
    assert two["basis"] == "measured"
    assert two["domains"] == 2
    many = (*TWO[:-3], "64", "--nodes", "8", "--nic", "400Gb/s")
    assert answer(*many)["not_measured"] == ["8 domains: only 2 were measured"]
    shown = invoke(*many).stdout
    assert "likely within a factor of 2" in shown
    assert "extrapolated: 8 domains: only 2 were measured" in shown


def test_a_message_needs_no_number_of_gpus() -> None:
    assert answer("point-to-point", "--bytes", "1MB", "--gpu", "h100")["gpus"] == 2


class TestScenario:
    """On the network of a file."""

    def test_the_first_nodes_of_a_site(self) -> None:
        found = answer(*SITE, "--nodes", "2")
        assert found["gpus"] == 16
        assert found["fabric"]["flows_s"] == pytest.approx(64e6 / 8 / 50e9, rel=1e-6)
        assert found["time_s"] == found["fabric"]["closed_form_s"]
        assert "row-1-rack-1-node-" in found["fabric"]["busiest_link"]
        same = (*TWO[:2], "64MB", *TWO[3:], "--nic", "400Gb/s")
        assert found["time_s"] == answer(*same)["time_s"]

    def test_an_oversubscribed_network_binds(self) -> None:
        wide = ("--set", "fabric={kind: fat-tree, oversubscription: 7}")
        some = ("all-to-all", "--bytes", "1GB", "--scenario", QUICKSTART, "--nodes", "16")
        found = answer(*some, *wide)
        assert found["time_s"] > 2 * found["fabric"]["closed_form_s"]
        assert "the flows bind" in invoke(*some, *wide).stdout
        assert "the closed form binds" in invoke(*some).stdout

    def test_some_gpus_of_each_node(self) -> None:
        found = answer(*SITE, "--nodes", "2", "--gpus", "4")
        assert (found["gpus"], found["domains"]) == (4, 2)

    def test_one_node_needs_no_network(self) -> None:
        assert answer(*SITE)["time_s"] == answer(*EIGHT)["time_s"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("all-reduc", *EIGHT[1:]),
         "OP: unknown operation 'all-reduc' (did you mean 'all-reduce'?)"),
        ((*EIGHT[:2], "64", *EIGHT[3:]),
         "--bytes: '64' has no unit; write a size in bytes like '80 GB'"),
        ((*EIGHT[:2], "0 MB", *EIGHT[3:]), "--bytes: must be above 0, not '0 MB'"),
        ((*EIGHT[:4], "mi300x", *EIGHT[5:]),
         "--gpu: collectives were not measured on mi300x (known: a100-sxm, b200, b300, gb200, "
         "gb300, h100-sxm, h200-sxm, l40s)"),
        ((*EIGHT[:4], "h1000", *EIGHT[5:]),
         "--gpu: unknown GPU 'h1000' (did you mean 'h100-sxm'?)"),
        ((*EIGHT[:4], "xyz", *EIGHT[5:]),
         "--gpu: unknown GPU 'xyz' (measured: a100-sxm, b200, b300, gb200, gb300, h100-sxm, "
         "h200-sxm, l40s)"),
        ((*EIGHT[:-1], "1"), "--gpus: a collective needs at least 2 GPUs, not 1"),
        ((*EIGHT[:-1], "0"), "--gpus: must be at least 1, not 0"),
        (("point-to-point", *EIGHT[1:]), "--gpus: point-to-point is between 2 GPUs, not 8"),
        (EIGHT[:3], "collective needs --gpu, --gpus (or --scenario FILE)"),
        (TWO, "collective needs --nic (or --scenario FILE)"),
        ((*TWO[:-1], "3", "--nic", "400Gb/s"), "--gpus: 16 do not come out even over 3 nodes"),
        ((*TWO, "--nic", "400"), "--nic: '400' has no unit; write a data rate like '400 Gb/s'"),
        ((*TWO, "--nic", "0 Gb/s"), "--nic: must be above 0, not '0 Gb/s'"),
        ((*TWO, "--nic", "400Gb/s", "--nics", "9"),
         "--nics: the 8 GPUs of a server use at most 8, not 9"),
        ((*TWO, "--nic", "400Gb/s", "--transport", "ib"),
         "--transport: unknown transport 'ib' (known: rdma, tcpx, tcpxo)"),
        ((*EIGHT, "--nic", "400Gb/s"),
         "--nic: one server uses no network; say --nodes 2 or more"),
        ((*EIGHT, "--dtype", "b16"), "--dtype: unknown precision 'b16' (did you mean 'bf16'?)"),
        ((*EIGHT, "--dtype", "int4"), "--dtype: NCCL adds up no int4: say bf16, fp8, int8"),
        ((*EIGHT, "--set", "seed=2"), "--set: changes a scenario; it goes with --scenario only"),
        ((*SITE, "--gpu", "h100"), "--gpu: the scenario says that; drop it, or --scenario"),
        ((*SITE, "--nodes", "17"), "--nodes: the site has 16, not 17"),
        ((*SITE, "--gpus", "9"), "--gpus: 1 nodes have 8, not 9"),
        ((*SITE, "--nodes", "3", "--gpus", "8"), "--gpus: 8 do not come out even over 3 nodes"),
    ],
)  # fmt: skip
def test_every_mistake_is_said_of_its_flag(arguments: tuple[str, ...], message: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code != 0
    assert str(done.exception) == message


def test_a_scenario_without_a_network_says_so(tmp_path: Path) -> None:
    text = Path(QUICKSTART).read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith("fabric:")]
    file = tmp_path / "bare.yaml"
    file.write_text("\n".join(kept), encoding="utf-8")
    done = invoke("all-reduce", "--bytes", "1MB", "--scenario", str(file))
    assert str(done.exception) == (
        f"--scenario: {file} states no network; write 'fabric: {{kind: rail-optimised}}'"
    )
