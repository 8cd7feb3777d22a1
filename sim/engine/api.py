"""The public functions: load a scenario, run it. Nothing is written unless a sink does so."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import SupportsIndex

from sim.check import check
from sim.check.scenario import AnyScenario, Scenario
from sim.cost.rates import cost_rates
from sim.engine.build import build
from sim.engine.run import ENGINE, Progress, run
from sim.place.scenario import REPLAY, PlacementScenario
from sim.results.freeze import freeze
from sim.results.manifest import manifest_parts
from sim.results.memory import MemorySink
from sim.results.result import RunResult
from sim.results.sink import Store
from sim.results.summarise import Summariser
from sim.site.fabric.source import Edit
from sim.spec import read


class Interrupted(KeyboardInterrupt):
    """The user stopped a run; ``partial`` is what it had written, marked as such."""

    def __init__(self, partial: RunResult) -> None:
        self.partial = partial
        super().__init__("the run was stopped")


def load_scenario(
    path: str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    allow_outside: bool = False,
    fabric: Edit | None = None,
) -> AnyScenario:
    """Read and check a scenario file, of either kind.

    Args:
        path: the YAML file.
        sets: changes applied on top, such as ``"pools[chat].replicas=30"``.
        allow_outside: let paths in the file lead out of its folder tree.
        fabric: a function that gets the network as a ``networkx.Graph`` (docs/fabric.md says what
            is in it; without ``fabric:`` only the inside of the servers) and returns the graph to
            use, the same one changed or another.

    Raises:
        ScenarioError: with every problem found, each at its place.
    """
    return check(read(path, sets=sets, allow_outside=allow_outside), fabric)


def run_scenario(
    scenario: AnyScenario,
    seed: int | None = None,
    *,
    engine: str = ENGINE,
    sink: Store | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Build, run, freeze and measure a scenario; a placement is replayed.

    Nothing is global: runs in several threads do not touch each other.

    Args:
        scenario: from ``load_scenario``.
        seed: of every random stream; default: the scenario's own.
        engine: which serving plane, ``"compiled"`` or ``"reference"``: the results are equal. The
            first run of a version compiles the former for about a minute, and says so on stderr.
            A placement has one way to run (``engine_of``), whatever is named here.
        sink: where rows go; default: memory. ``ParquetSink(folder)`` writes part files. One of
            your own needs the methods of ``Store``; deriving it from ``MemorySink`` gives them.
        progress: called now and then with (simulated seconds, seconds in all).

    Raises:
        TypeError: ``scenario`` is not a checked scenario, or ``sink`` not a ``Store``.
        ValueError: ``seed`` is not a whole number from 0.
        UnknownName: there is no such engine.
        BuildError: the checked scenario cannot become a world (no place for a replica).
        SimulationError: the run cannot go on.
        Interrupted: Ctrl-C, or ``progress`` raised ``KeyboardInterrupt``.
    """
    seed = _checked(scenario, seed, sink)
    if isinstance(scenario, PlacementScenario):
        return _replay(scenario, seed, MemorySink() if sink is None else sink)
    rows = _summariser(scenario, MemorySink() if sink is None else sink)
    reached_s, horizon_s = 0.0, scenario.duration_s + scenario.drain_s

    def note(simulated_s: float, end_s: float) -> None:
        nonlocal reached_s
        reached_s = simulated_s
        if progress is not None:
            progress(simulated_s, end_s)

    def parts(simulated_s: float) -> dict[str, object]:
        return manifest_parts(
            scenario,
            seed=seed,
            engine=engine,
            simulated_s=simulated_s,
            inputs=input_digests(scenario),
            warnings=notes,
            costs=cost_rates(scenario),
        )

    notes: tuple[str, ...] = ()
    try:
        world = build(scenario, seed)
        notes = world.notes
        notes += run(world, rows, engine=engine, progress=note)
    except KeyboardInterrupt:
        rows.abort(f"stopped by the user at {reached_s:.0f} s of {horizon_s:.0f} s")
        raise Interrupted(freeze(rows, parts(reached_s))) from None
    except BaseException as error:
        rows.abort(str(error))
        rows.discard()
        raise
    return freeze(rows, parts(horizon_s))


def _replay(scenario: PlacementScenario, seed: int, sink: Store) -> RunResult:
    """A placement; where it cannot be run to its end, nothing is left."""
    from sim.place.run import run_placement

    try:
        return run_placement(scenario, seed, sink, input_digests(scenario))
    except BaseException:
        sink.discard()
        raise


def engine_of(scenario: AnyScenario, engine: str) -> str:
    """What runs a scenario, as its manifest says: the serving plane, or the replay of pods."""
    return REPLAY if isinstance(scenario, PlacementScenario) else engine


def _summariser(scenario: Scenario, sink: Store) -> Summariser:
    """What counts the summaries of a run of ``scenario`` on the way to ``sink``."""
    return Summariser(
        sink,
        record=scenario.record,
        sample_every=scenario.sample_every,
        warm_up_s=scenario.warm_up_s,
        duration_s=scenario.duration_s,
        objectives={workload.name: workload.objectives for workload in scenario.workloads},
        power_kinds=[node.kind for node in scenario.power.nodes],
        pools=[workload.pool for workload in scenario.workloads],
        record_power=scenario.record_power,
    )


def _checked(scenario: AnyScenario, seed: int | None, sink: Store | None) -> int:
    """The seed to run under, after a look at what the caller gave."""
    if not isinstance(scenario, AnyScenario):
        raise TypeError(
            f"run_scenario takes a checked scenario, not {type(scenario).__name__}: "
            "sim.run_scenario(sim.load_scenario(path))"
        )
    if sink is not None and not isinstance(sink, Store):
        raise TypeError(
            f"{type(sink).__name__} cannot give its tables back, so it makes no result; a sink "
            "needs the methods of sim.results.sink.Store (or derive it from MemorySink)"
        )
    seed = scenario.seed if seed is None else seed
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) or int(seed) < 0:
        raise ValueError(f"seed must be a whole number from 0, not {seed!r}")
    return int(seed)  # one of NumPy's, say


def input_digests(scenario: AnyScenario) -> dict[str, str | None]:
    """What a run reads, by what it is for and its name without folders → SHA-256 of its content.

    Traces, series of hours, lists of pods and nodes; and the modules of policies that are not
    rackplan's own, so that a changed policy is not taken for the one that made a result. None: of a
    policy whose code is in no file, so nobody can tell.
    """
    digests = {f"{use}: {file.name}": _sha256(file) for use, file in _files_of(scenario)}
    return digests | _foreign_policies(scenario)


def _files_of(scenario: AnyScenario) -> Iterator[tuple[str, Path]]:
    if isinstance(scenario, PlacementScenario):
        yield "nodes", scenario.nodes_file
        yield "pods", scenario.pods_file
        return
    yield from scenario.facility.files.items()
    if scenario.fabric is not None and scenario.fabric.file is not None:
        yield "fabric", scenario.fabric.file
    for workload in scenario.workloads:
        if workload.trace is not None:
            yield workload.name, workload.trace.file


def _foreign_policies(scenario: AnyScenario) -> dict[str, str | None]:
    """Module of each policy that rackplan does not bring → SHA-256 of its file."""
    chosen = [scenario.placement]
    if isinstance(scenario, Scenario):
        chosen += [scenario.power_policy, scenario.paths]
        chosen += [part for pool in scenario.pools for part in (pool.routing, pool.batching)]
    found: dict[str, str | None] = {}
    for policy in chosen:
        module = type(policy).__module__
        if policy is None or module.startswith("sim.policies."):
            continue
        file = getattr(sys.modules.get(module), "__file__", None)
        known = None if file is None or not Path(file).is_file() else Path(file)
        found[f"policy: {module}"] = None if known is None else _sha256(known)
    return found


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
