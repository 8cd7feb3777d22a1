"""``rackplan place``: what it prints, and what it says of bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sim.cli.app import app
from sim.errors import RackplanError
from sim.policies import base
from tests.unit.place.lists import random_lists, write


def invoke(folder: Path, *arguments: str) -> Result:
    nodes, pods = write(folder, *random_lists(4))
    lists = ["place", "--nodes", str(nodes), "--pods", str(pods)]
    return CliRunner().invoke(app, [*lists, *arguments])


@pytest.fixture(autouse=True)
def _policies_of_users_are_forgotten() -> Iterator[None]:
    """What a test registers is not there for the next ones of this process."""
    before = dict(base._registry)
    yield
    base._registry.clear()
    base._registry.update(before)


def refused(result: Result) -> str:
    assert isinstance(result.exception, RackplanError)
    return str(result.exception)


def test_json_has_what_is_asked_of_each_policy(tmp_path: Path) -> None:
    result = invoke(
        tmp_path, "--policy", "best-fit,fgd", "--seeds", "42..44", "--arrival", "130%", "--bound",
        "--json",
    )  # fmt: skip
    answer = json.loads(result.stdout)
    assert answer["seeds"] == [42, 43, 44]
    assert answer["arrival_pct"] == 130.0
    assert list(answer["policies"]) == ["best-fit", "fgd"]
    for found in answer["policies"].values():
        by_seed = found["unallocated_pct_by_seed"]
        mean, std = found["unallocated_pct"]["mean"], found["unallocated_pct"]["std"]
        assert mean == pytest.approx(sum(by_seed) / 3)
        assert std == pytest.approx((sum((v - mean) ** 2 for v in by_seed) / 3) ** 0.5, abs=1e-5)
        assert list(found["at_arrival_pct"]) == [
            "50", "60", "70", "80", "90", "95", "100", "130",
        ]  # fmt: skip
        assert found["at_arrival_pct"]["130"]["unallocated_pct"] == found["unallocated_pct"]
        failed = sum(reason["mean"] for reason in found["failures"].values())
        assert failed == pytest.approx(found["failed"]["mean"])
        assert found["seconds"]["mean"] > 0
        assert mean >= answer["bound"]["free_unallocated_pct"]["mean"]


def test_the_table_ranks_policies(tmp_path: Path) -> None:
    text = invoke(tmp_path, "--policy", "random", "--policy", "fgd", "--seeds", "1..2").stdout
    lines = text.splitlines()
    (header,) = (line for line in lines if "at 90 %" in line and "at 130 %" in line)
    rows = [line.split()[0] for line in lines[lines.index(header) + 1 :] if "±" in line]
    assert sorted(rows) == ["fgd", "random"]
    assert "pods without a place, for want of" in text


def test_each_pod_once_as_listed(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--policy", "fgd", "--seeds", "1", "--arrival", "list", "--json")
    found = json.loads(result.stdout)["policies"]["fgd"]
    assert found["placed"]["mean"] + found["failed"]["mean"] == 160


OWN = '''
"""A policy in one file."""
from dataclasses import dataclass
from sim.policies.base import register

@register("placement", "fewest-pods")
@dataclass(frozen=True)
class FewestPods:
    """Put each pod where fewest are."""

    @staticmethod
    def score(node, pod, known):
        """Fewer pods are better."""
        return {score}
'''


def own(folder: Path, score: str) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / "own.py"
    kind = f"own-{abs(hash(score)) % 10**6}"
    file.write_text(OWN.replace("{score}", score).replace("fewest-pods", kind))
    return str(file)


def test_a_policy_of_the_users_own(tmp_path: Path) -> None:
    file = own(tmp_path, "-node.pods")
    answer = json.loads(invoke(tmp_path, "--load", file, "--seeds", "1", "--json").stdout)
    assert [kind for kind in answer["policies"] if kind.startswith("own-")]


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("node.cpu_lift", "own.py: score: .*cpu_lift"),
        ("1.0 / (node.pods - node.pods)", "gave a score that is no finite number on node"),
        ("1.0, 7 if pod.kind == 1 else -1", "chose GPU 7 on node .* which does not fit there"),
    ],
)
def test_policies_that_are_wrong(tmp_path: Path, score: str, message: str) -> None:
    import re

    text = refused(invoke(tmp_path, "--load", own(tmp_path, score), "--seeds", "1"))
    assert re.search(message, text), text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "fdg"], "unknown placement policy 'fdg' (did you mean 'fgd'?)"),
        (["--seeds", "5..1"], "--seeds: '5..1' is not first..last of up to 1000 seeds"),
        (["--seeds", "a"], "--seeds: 'a' is not like 42..51, 42,43 or 42"),
        (["--seeds", "1,1"], "names a seed twice"),
        (["--arrival", "0"], "--arrival: '0' is not a share of the GPUs such as 1.3 or 130%"),
        (["--arrival", "nan"], "--arrival: 'nan' is not a share"),
        (["--quota", "a"], "--quota: 'a' is not like team-a=64"),
        (["--quota", "a=4"], "has no such tenant"),
        (["--load", "none.py"], "none.py: is not a Python file that can be read"),
    ],
)
def test_bad_options(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refused(invoke(tmp_path, *arguments))


def test_how_far_from_the_best_placement(tmp_path: Path) -> None:
    arguments = ["--policy", "best-fit,fgd", "--seeds", "7", "--arrival", "120%", "--optimal", "3"]
    answer = json.loads(invoke(tmp_path, *arguments, "--json").stdout)["optimal"]
    assert answer["seed"] == 7
    assert list(answer["policies"]) == ["best-fit", "fgd"]
    for one in answer["policies"].values():
        assert one["allocated_gpus"] <= answer["found_gpus"] <= answer["bound_gpus"]
    shown = invoke(tmp_path, *arguments).stdout
    assert "GPUs allocated at the end, seed 7" in shown
    assert "best found" in shown
    assert "that arrived under seed 7" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimal", "0"], "--optimal: 0 is not a time in seconds above 0"),
        (["--optimal", "nan"], "--optimal: nan is not a time"),
        (["--optimal", "5", "--quota", "a=4"], "the integer program does not know --quota"),
    ],
)
def test_senseless_searches_are_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in refused(invoke(tmp_path, *arguments))
