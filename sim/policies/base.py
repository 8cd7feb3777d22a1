"""The policy seam: policies suggest, the engine decides.

A policy is a frozen dataclass registered for a role under a kind; its fields become YAML keys, the
schema and the documentation::

    @register("routing", "first")
    @dataclass(frozen=True)
    class First:
        \"\"\"Send every request to the first replica that takes it.\"\"\"

        def new_state(self) -> None: ...

        def decide(self, view, state, rng):
            yield from range(view.replicas)

What a policy must remember between decisions lives in the state that ``new_state()`` makes for one
run, so one object can serve many runs. Third parties register through the entry-point group
``rackplan.policies``: each entry point is a module whose import registers its policies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sim.errors import RackplanError, UnknownName
from sim.rng import KeyedBits
from sim.site.fabric.leaves import Leaves
from sim.site.types import PowerTree, Site

T = TypeVar("T")

ROLES = ("placement", "routing", "batching", "power", "paths")

#: Modules whose import registers the built-in policies; a new policy adds one line here.
BUILT_IN = (
    "sim.policies.placement.first_fit",
    "sim.policies.placement.random",
    "sim.policies.placement.best_fit",
    "sim.policies.placement.dot_product",
    "sim.policies.placement.packing",
    "sim.policies.placement.clustering",
    "sim.policies.placement.fgd",
    "sim.policies.placement.fgd_cpu",
    "sim.policies.placement.absorb",
    "sim.policies.placement.topology_aware",
    "sim.policies.placement.power_aware",
    "sim.policies.placement.failure_domain_aware",
    "sim.policies.placement.locality",
    "sim.policies.routing.round_robin",
    "sim.policies.routing.random",
    "sim.policies.routing.least_outstanding",
    "sim.policies.routing.power_of_two",
    "sim.policies.routing.prefix_aware",
    "sim.policies.routing.session_affinity",
    "sim.policies.routing.slo_aware",
    "sim.policies.routing.power_aware",
    "sim.policies.batching.chunked_prefill",
    "sim.policies.batching.prefill_first",
    "sim.policies.batching.static",
    "sim.policies.paths.shortest",
    "sim.policies.paths.ecmp",
    "sim.policies.paths.random",
    "sim.policies.paths.adaptive",
    "sim.policies.paths.rail",
    "sim.policies.power.none",
    "sim.policies.power.static_cap",
    "sim.policies.power.static_clock",
    "sim.policies.power.polca",
    "sim.policies.power.dynamo",
    "sim.policies.power.demand_response",
)

_registry: dict[tuple[str, str], type] = {}


def register(role: str, kind: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: make a frozen dataclass the policy ``kind`` of ``role``.

    Raises:
        RackplanError: an unknown role, a class that is no frozen dataclass, or a kind taken twice.
    """
    if role not in ROLES:
        raise UnknownName("policy role", role, ROLES)

    def add(cls: type[T]) -> type[T]:
        if not is_dataclass(cls) or not vars(cls)["__dataclass_params__"].frozen:
            raise RackplanError(f"policy {kind!r} ({cls.__name__}) must be a frozen dataclass")
        taken = _registry.get((role, kind))
        if taken is not None and taken.__qualname__ != cls.__qualname__:
            raise RackplanError(f"{role} policy {kind!r} is registered twice: {taken} and {cls}")
        _registry[role, kind] = cls
        return cls

    return add


@cache
def _load_others() -> None:
    """Import the policies of other packages; which there are is looked up once in a process."""
    for point in sorted(entry_points(group="rackplan.policies"), key=lambda point: point.name):
        point.load()


def policies(role: str) -> Mapping[str, type]:
    """Every registered kind of ``role`` → its class, in order of name."""
    for module in BUILT_IN:
        import_module(module)
    _load_others()
    found = {kind: cls for (r, kind), cls in _registry.items() if r == role}
    return MappingProxyType(dict(sorted(found.items())))


def kind_of(policy: object) -> str:
    """The kind under which a policy object's class is registered.

    Raises:
        RackplanError: its class is not registered for any role.
    """
    for (_, kind), cls in _registry.items():
        if cls is type(policy):
            return kind
    raise RackplanError(f"{type(policy).__name__} is not a registered policy")


def parameters(cls: type) -> tuple[str, ...]:
    """The YAML keys of a policy: the names of its dataclass fields."""
    return tuple(field.name for field in fields(cls))


@dataclass(frozen=True)
class PowerPlaces:
    """Where the replicas of a pool hang in the electrical tree, as it was built.

    Attributes:
        feeds: level ("rack", "pdu", "ups") → for each replica ((node, share of its load), …). The
            shares of a replica sum to 1; nodes count from 0 within the level.
        limit_w: level → each node's limit, the lower of rating and budget; inf where none is
            stated.
    """

    feeds: Mapping[str, tuple[tuple[tuple[int, float], ...], ...]]
    limit_w: Mapping[str, tuple[float, ...]]


NO_PLACES = PowerPlaces({}, {})


@dataclass(frozen=True)
class RoutingView:
    """What a router sees at a decision: one pool's replicas by position, at the arrival's time.

    ``outstanding_requests`` and ``outstanding_tokens`` are what a gateway can know: dispatched and
    not yet ended; prompt + expected output until the first token, then the output until the end.
    ``prefix_ids`` name the complete blocks that the prompt begins with, each with all that is
    before it: prompts of equal ids begin with equal text, and those of different workloads have no
    ids in common. Empty where nothing is known of that.

    ``session`` names the client or conversation that a request belongs to, those of different
    workloads apart; −1 where the workload does not tell. ``ttft_objective_s`` is the workload's,
    inf without one; it counts from the sending, and nothing here says how long ago that was.

    What a gateway measures by watching streams begin, by replica: ``outstanding_prompt_tokens`` of
    requests dispatched that have given no token (so part of ``outstanding_tokens``);
    ``served_prompt_tokens`` of those that have, from the run's start; and ``serving_prompts_s``,
    what these took: each the time from its dispatch, or from the first token before it at this
    replica if that is later. Tokens that a prefix cache saves are counted like the others.
    ``power`` says where the replicas hang in the electrical tree.
    """

    time_s: float
    request_id: int
    input_tokens: int
    expected_output_tokens: int
    priority: int
    replicas: int
    outstanding_requests: tuple[int, ...]
    outstanding_tokens: tuple[int, ...]
    prefix_ids: tuple[int, ...] = ()
    session: int = -1
    ttft_objective_s: float = math.inf
    outstanding_prompt_tokens: tuple[int, ...] = ()
    served_prompt_tokens: tuple[int, ...] = ()
    serving_prompts_s: tuple[float, ...] = ()
    power: PowerPlaces = NO_PLACES


class RoutingPolicy(Protocol):
    """Chooses a replica for an arrival: yields positions in the pool, best first."""

    def new_state(self) -> Any:
        """What this policy remembers during one run."""
        ...

    def decide(self, view: RoutingView, state: Any, rng: KeyedBits) -> Iterator[int]:
        """Positions of replicas, best first; ``rng`` is keyed by request id."""
        ...


@dataclass(frozen=True)
class ToCome:
    """Replicas of a pool that have no place yet.

    Attributes:
        replicas: how many.
        gpus: that each needs.
        allowed: [G] where they may be: free, with power, of a type they fit on; read-only.
    """

    replicas: int
    gpus: int
    allowed: NDArray[np.bool_]


@dataclass(frozen=True)
class PlacementView:
    """What a placer sees for one replica: the site, which GPUs are free and allowed, what is asked.

    ``allowed[g]`` is True for GPUs that are free, with power, and of a type the replica fits on;
    read-only [G]. ``dark`` are GPUs without power. ``placed``: pool → the GPUs of each of its
    other replicas that has a place, in rank order. ``partners`` are pools that send KV to this one,
    or take it from it. ``to_come``: of this pool (the replica in question included) and its
    partners, what has no place. ``draw_w``: pool → GPU type → the highest draw of one of its GPUs.
    ``leaves``: the network of GPUs; None where the scenario states none.
    """

    site: Site
    allowed: NDArray[np.bool_]
    tensor_parallel: int
    pipeline_parallel: int
    pool: str
    replica: int
    dark: Container[int] = ()
    placed: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    partners: tuple[str, ...] = ()
    power: PowerTree | None = None  # the electrical tree of the site
    to_come: Mapping[str, ToCome] = field(default_factory=dict)
    draw_w: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    leaves: Leaves | None = None


class PlacementPolicy(Protocol):
    """Chooses the GPUs of a replica: yields tuples of GPU indices, best first.

    GPUs are in rank order: the tensor-parallel groups of successive pipeline stages. A policy that
    can say how good one node is says only that (``sim.policies.scoring``), and need not decide.
    """

    def new_state(self) -> Any:
        """What this policy remembers during one run."""
        ...

    def decide(self, view: PlacementView, state: Any, rng: KeyedBits) -> Iterator[tuple[int, ...]]:
        """Tuples of GPU indices, best first."""
        ...


class BatchingPolicy(Protocol):
    """Parameters of continuous batching; the engine knows three modes (``mode``)."""

    max_batch_tokens: int
    max_sequences: int
    memory_utilisation: float

    @property
    def mode(self) -> str:
        """ "chunked-prefill", "prefill-first" or "static"."""
        ...
