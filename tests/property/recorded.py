"""A case as a result keeps it: through the summaries, at every level of recording."""

from __future__ import annotations

from dataclasses import replace

from sim.engine.run import run
from sim.errors import SimulationError
from sim.results.memory import MemorySink
from sim.results.summarise import Summariser
from tests.property.engine_pair import Outcome
from tests.property.random_cases import Case

#: ``record`` and ``record_power``.
LEVELS = (
    ("full", "changes"),
    ("full", "minutes"),
    ("sampled", "changes"),
    ("summary", "minutes"),
)


def record_case(case: Case, engine: str, level: tuple[str, str]) -> Outcome:
    """The tables of a run to the horizon of its scenario; the acts of the case are left out."""
    record, record_power = level
    setup = replace(case.world.scenario, record=record, record_power=record_power, sample_every=3)
    sink = Summariser(
        MemorySink(),
        record=record,
        sample_every=setup.sample_every,
        warm_up_s=setup.warm_up_s,
        duration_s=setup.duration_s,
        objectives={load.name: load.objectives for load in setup.workloads},
        power_kinds=[node.kind for node in setup.power.nodes],
        pools=[load.pool for load in setup.workloads],
        record_power=record_power,
    )
    outcome = Outcome()
    try:
        run(replace(case.world, scenario=setup), sink, engine=engine)
    except SimulationError as error:
        outcome.error = f"{error.time_s!r}: {error}"
        return outcome
    tables = sink.close(case.world.horizon_s)
    outcome.tables = {name: tables[name].to_pylist() for name in tables}
    return outcome
