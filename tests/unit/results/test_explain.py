"""``explain``: where a replica stands and why, from what a run wrote down."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.errors import UnknownName
from sim.results.explain import explain_replica, placements, replica_named, replicas_of
from sim.results.result import RunResult
from tests.unit.study.works import TINY

CHANGES = """
power:
  utility: {budget: 60 kW}
  ups: [{name: ups-a, rating: 60 kW}]
  pdus: {per_row: 1, rating: 60 kW}
events: [{at: 4 s, fail: row-1-pdu-a}, {at: 5 s, restore: row-1-pdu-a}]
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    text = TINY.replace("rate: 4 /s", "rate: 60 /s").replace(
        "replicas: 2}", "tensor_parallel: 2, replicas: 2, max_queue: 1}"
    )
    pools = "pools: [{name: wide, llm: llama-3.1-8b, tensor_parallel: 8, replicas: 1},"
    file = tmp_path_factory.mktemp("explain") / "tiny.yaml"
    file.write_text(text.replace("pools: [", f"{pools} ") + CHANGES)
    return sim.run_scenario(sim.load_scenario(file), 1, engine="reference")


def test_replicas_are_named_by_pool_and_number(result: RunResult) -> None:
    assert list(replicas_of(result)) == ["wide-0", "chat-0", "chat-1"]
    for name in ("chat-1", "chat replica 1", "chat[1]", "chat-01"):
        assert replica_named(result, name).everywhere == 2
    with pytest.raises(UnknownName, match=r"unknown replica 'caht-1' \(did you mean 'chat-1'\?\)"):
        replica_named(result, "caht-1")


def test_the_place_the_reason_and_the_life_are_told(result: RunResult) -> None:
    replica = replica_named(result, "chat-1")
    told = explain_replica(result, replica, lambda policy: f"{policy} packs.")
    gpus = sorted(map(int, str(replica.row["gpus"]).split()))
    assert told[0].startswith(
        f"chat-1, one of 2 replicas of chat, is on GPUs {gpus[0]}, {gpus[1]} (h100-sxm) of "
        f"{replica.row['node']}, with room for"
    )
    assert told[1] == "Its server is fed by row-1-rack-1, row-1-pdu-a, ups-a, utility."
    assert told[2] == "At 0 s topology-aware put it there, its first choice."
    assert told[3] == "The policy: topology-aware packs."
    assert told[4] == f"At 4.00 s it failed: {replica.row['node']} has no power."
    assert any(line.startswith("It was busy for ") for line in told)


def test_every_place_is_listed(result: RunResult) -> None:
    rows = placements(result)
    assert [row["replica"] for row in rows] == ["wide-0", "chat-0", "chat-1"]
    assert {row["policy"] for row in rows} == {"topology-aware"}
    assert rows[0]["gpus"] == "0 to 7"


def test_refused_choices_are_counted_with_their_reason(result: RunResult, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "run")
    from sim.results.result import open_run

    class Refusing:
        """The same run, whose last placement was refused twice before."""

        manifest = result.manifest

        def __init__(self) -> None:
            tables = open_run(folder).tables
            rows = tables["decisions"].to_pylist()
            (taken,) = [row for row in rows if row["subject"] == "chat replica 1"]
            refused = {
                **taken, "accepted": False, "reason_code": "gpu-taken",
                "reason": "GPU 3 already holds a replica", "suggestion": "3 4",
            }  # fmt: skip
            last = {**taken, "rank": 2}
            rows = [row for row in rows if row is not taken] + [refused, refused, last]
            import pyarrow as pa

            self.tables = {name: tables[name] for name in tables}
            self.tables["decisions"] = pa.Table.from_pylist(rows, tables["decisions"].schema)

    run = Refusing()
    told = explain_replica(run, replica_named(run, "chat-1"))  # type: ignore[arg-type]
    assert "At 0 s topology-aware put it there, its choice 3." in told
    assert "2 suggestions were refused before:" in told
    assert told.count("  gpu-taken, such as 3 4: GPU 3 already holds a replica.") == 1
    (row,) = [row for row in placements(run) if row["replica"] == "chat-1"]  # type: ignore[arg-type]
    assert (row["choice"], row["refused"]) == (3, 2)


def told_of(folder: Path, name: str, script: str, **pool: str) -> list[str]:
    """What is told of one of two replicas in a run with this script."""
    more = "".join(f", {key}: {value}" for key, value in pool.items())
    file = folder / "script.yaml"
    file.write_text(TINY.replace("replicas: 2}", f"replicas: 2{more}}}") + script)
    found = sim.run_scenario(sim.load_scenario(file), 1, engine="reference")
    return explain_replica(found, replica_named(found, name))


def test_what_led_to_a_decision_is_told_before_it(tmp_path: Path) -> None:
    script = """
power: {utility: {budget: 60 kW}, restart: 1 s}
scaling: [{pool: chat, replace_after: 0 s}]
events: [{at: 4 s, fail: row-1-rack-1-node-1}]
"""
    told = told_of(tmp_path, "chat-0", script)
    at = [line.split(" it ", 1)[1] for line in told if line.startswith("At 4.00 s")]
    assert [line.partition(":")[0] for line in at] == [
        "failed",
        "there, its first choice.",
        "was placed anew, on row-1-rack-1-node-2, for row-1-rack-1-node-1 did not come back",
    ]


def test_sources_of_weights_are_named_and_of_many_events_the_rest_is_told_last(
    tmp_path: Path,
) -> None:
    script = """
fabric: {kind: rail-optimised}
storage: {nodes: 1}
scaling: [{pool: chat, every: 1 s, schedule: [{at: 0.2 s, replicas: 1}, {at: 0.6 s, replicas: 2}]}]
"""
    told = told_of(tmp_path, "chat-1", script, weights="{from: peers, boot: 0 s}")
    loads = [line for line in told if "began to load weights" in line]
    assert loads
    assert all(line.endswith("GB from chat-0.") for line in loads)
    besides = next(place for place, line in enumerate(told) if line.endswith(" besides."))
    assert not any(line.startswith("At ") for line in told[besides:])


def test_a_place_that_gains_nothing_is_no_want_of_places(tmp_path: Path) -> None:
    script = """
fabric: {kind: rail-optimised}
events: [{at: 4 s, defragment: {most: 1}}]
"""
    told = told_of(tmp_path, "chat-1", script)
    assert "At 4.00 s topology-aware found no place that it was worth moving to." in told
