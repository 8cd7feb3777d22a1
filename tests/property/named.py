"""Named cases: hand-made worlds, one for each rule that an engine which leaps can get wrong.

They are in ``named_runs``, ``named_ends`` and ``named_prefixes``. Each says what it guards and how
the reference shows that the situation really arises. Unless said otherwise an iteration takes one
second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sim.perf.step import ReplicaModel
from sim.workload.columns import Columns
from sim.workload.lengths import FixedLengths
from sim.workload.source import ClosedSource
from tests.engine_world import Given, constant_cost, model, pool, scenario, workload, world
from tests.property.engine_pair import Outcome
from tests.property.random_cases import Act, Case
from tests.property.random_worlds import LONG_S

SECOND = constant_cost(1.0)


@dataclass(frozen=True)
class Named:
    """A case, and whether what the reference did with it is what the case is for."""

    case: Case
    shows: Callable[[Outcome], bool]


NAMED: dict[str, Callable[[], Named]] = {}
#: Those that take seconds.
LONG: dict[str, Callable[[], Named]] = {}
#: Those whose prompts begin alike.
PREFIXED: dict[str, Callable[[], Named]] = {}


def named(make: Callable[[], Named]) -> Callable[[], Named]:
    """Put a case into the list under its function's name."""
    NAMED[make.__name__] = make
    return make


def takes_long(make: Callable[[], Named]) -> Callable[[], Named]:
    """Put a case into the list of those that take seconds."""
    LONG[make.__name__] = make
    return make


def with_prefixes(make: Callable[[], Named]) -> Callable[[], Named]:
    """Put a case into the list of those with a prefix cache."""
    PREFIXED[make.__name__] = make
    return make


def row(at: float, prompt: int = 1, output: int = 1, **more: Any) -> dict[str, Any]:
    """An open request."""
    return {"arrival_s": at, "input_tokens": prompt, "output_tokens": output, **more}


def after(number: int, prompt: int = 1, output: int = 1, **more: Any) -> dict[str, Any]:
    """A request that is sent when another has ended."""
    return {"after_request": number, "input_tokens": prompt, "output_tokens": output, **more}


def one_pool(
    rows: Sequence[dict[str, Any]],
    replica: ReplicaModel | None = None,
    *,
    acts: Sequence[Act] = (),
    timeout_s: float = math.inf,
    closed: bool = False,
    **options: Any,
) -> Case:
    """One pool that serves ``rows``, from time 0 until all have ended."""
    a_pool = pool(replica or model(SECOND), **options)
    setup = scenario([a_pool], [workload(timeout_s=timeout_s)], nodes=2, iterations=True)
    acts = (Act(0.0, "open"), *acts, Act(900.0, "close"))
    return Case(world(setup, [Given(rows, closed=closed)]), acts, LONG_S)


def closed_loop(clients: int, lengths: FixedLengths, *, duration_s: float, **options: Any) -> Case:
    """Clients without a pause between their requests, at one pool."""
    setup = scenario([pool(model(SECOND), **options)], [workload()], duration_s=duration_s)
    columns = Columns(replace(workload(), clients=clients), seed=1, stream="load")
    source = ClosedSource(columns, lengths, clients=clients, think_s=0.0)
    return Case(replace(world(setup, []), sources=(source,)), (), LONG_S)


def requests(outcome: Outcome) -> dict[int, dict[str, Any]]:
    """Request rows by id."""
    return {row["request_id"]: row for row in outcome.tables["requests"]}


def work(outcome: Outcome) -> list[tuple[int, int]]:
    """Decodes and prefill tokens of each iteration."""
    return [(r["decodes"], r["prefill_tokens"]) for r in outcome.tables["iterations"]]


def boundary_s(anchor_s: float, first_s: float, growth_s: float, n: int) -> float:
    """The n-th boundary after an anchor."""
    return anchor_s + (n * first_s + growth_s * (0.5 * n * (n - 1)))
