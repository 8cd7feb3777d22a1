"""``Scenario``: a checked scenario, frozen, in SI floats, every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sim.catalog.measured import MeasuredSteps
from sim.catalog.types import Llm
from sim.errors import Mark, Problem, ScenarioError
from sim.perf.own import OwnConstants
from sim.perf.sampled import Factors
from sim.perf.silicon import Silicon
from sim.perf.step import ReplicaModel
from sim.place.scenario import PlacementScenario
from sim.site.fabric.source import FabricSource
from sim.site.fabric.types import NO_STORAGE, Storage
from sim.site.facility import Facility
from sim.site.types import PowerTree, Site
from sim.spec.costs import CostsSpec
from sim.spec.expect import BetterSpec
from sim.workload.plan import Workload


@dataclass(frozen=True)
class LlmUse:
    """An entry of ``llms``: an LLM at a precision."""

    name: str  # as pools refer to it
    llm: Llm
    precision: str
    kv_precision: str


@dataclass(frozen=True)
class Decode:
    """Where the requests that a pool prefills are decoded, and when their KV moves there.

    ``by_layer``: as soon as layers are computed, else once all are.
    """

    pool: str
    by_layer: bool = False


@dataclass(frozen=True)
class Weights:
    """How replicas that start get their weights.

    ``source``: "storage", "peers" or "local". ``stage_bytes``: GPU type → what one GPU of each
    stage holds.
    """

    source: str
    boot_s: float
    multicast: bool
    cold: bool  # at time 0 nothing is loaded
    stage_bytes: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Pool:
    """Replicas of one LLM. ``models`` maps each GPU type of the site it fits on to its model."""

    name: str
    llm: LlmUse
    tensor_parallel: int
    pipeline_parallel: int
    replicas: int  # that have a place; more than ``starts`` if events add some
    priority: int
    gpu: str | None  # restrict placement to this GPU type
    max_queue: int | None  # waiting requests per replica; None = no limit
    shed: str  # "reject" or "oldest"
    models: Mapping[str, ReplicaModel]
    routing: Any  # a routing policy object
    batching: Any  # a batching policy object
    prefix_cache: bool = True  # what is in KV of a prompt's beginning is not prefilled again
    starts: int | None = None  # replicas that serve from the start, the first ones; None = all
    replace_after_s: float | None = None  # one that is down for so long is placed elsewhere
    measured: MeasuredSteps | None = None  # instead of predicted step times and draws
    decode: Decode | None = None  # the pool that decodes what this one prefills
    racks: tuple[int, ...] = ()  # restrict placement to these racks of the site; none: all
    weights: Weights | None = None  # None: a replica that starts serves after ``restart_s``
    expert_parallel: int = 1  # parts of tensor_parallel that hold whole experts
    data_parallel_attention: int = 1  # groups of tensor_parallel with requests of their own
    expert_routing: str = "uniform"
    stack: str | None = None  # full name of the serving stack; None: pooled overheads
    silicon: Silicon | None = None  # whose step times; None: our own
    drawn: Mapping[str, Factors] = field(default_factory=dict)  # GPU type → errors in its models
    tenant: str = ""  # whose it is; "": nobody's in particular
    isolation: str = ""  # "node", "rack" or "leaf" that it shares with no other tenant's replicas

    @property
    def predicted(self) -> bool:
        """Whether its times and draws are predicted rather than measured ones."""
        return self.measured is None

    @property
    def moves(self) -> bool:
        """Whether replicas of it are placed during a run, not only at its beginning."""
        return self.starts is not None or self.replace_after_s is not None

    @property
    def spans(self) -> bool:
        """Whether a replica may be on several servers that talk to each other over the network."""
        return self.pipeline_parallel > 1 or any(model.across for model in self.models.values())


@dataclass(frozen=True)
class Expectation:
    """``metric op threshold``, checked for name and dimension; the threshold is in SI units."""

    text: str
    metric: str
    operator: str
    threshold: float


@dataclass(frozen=True)
class PlannedEvent:
    """Something that the scenario lets happen.

    ``fail``, ``restore`` and ``budget`` are of a ``node`` of the electrical tree, ``add``,
    ``remove``, ``scale`` and ``migrate`` of a ``pool``, ``fail-part`` and ``restore-part`` of a
    ``part`` of the network.
    """

    at_s: float
    #: "fail", "restore", either -module or -part, "budget", "add", "remove", "scale", "migrate",
    #: "defragment".
    kind: str
    node: int = -1
    budget_w: float = 0.0  # from then on
    pool: str = ""
    replicas: int = 0  # that are added or taken away, that there are from then on, or move at most
    replica: int = -1  # that moves, by its number within the pool
    kv: str = ""  # of what runs on a replica that moves: "moved" or "lost"
    part: str = ""  # leaf-3, leaf-3/spine-1, leaf-3/spine-1#2


@dataclass(frozen=True)
class Traffic:
    """A neighbour whose servers exchange data in rounds."""

    name: str
    kind: str  # "all-to-all" or "ring"
    gpus: tuple[tuple[int, ...], ...]  # of each server that takes part, all of one size
    size_bytes: float  # that each GPU sends in a round
    every_s: float
    limit_bytes_per_s: float | None  # of what a GPU sends
    begin_s: float
    until_s: float


@dataclass(frozen=True)
class Telemetry:
    """What controllers see of the electrical tree, and how late."""

    period_s: float = 2.0  # a reading is the mean over it
    delay_s: float = 2.0  # from the end of the period to the controller
    quantum_w: float = 100.0  # readings are multiples of it; 0: of a milliwatt
    lost: float = 0.0  # share of readings that never arrive
    stale_after_s: float = 10.0  # without a reading for so long, a controller is blind


@dataclass(frozen=True)
class Actuation:
    """How long commands take, and what the brake is."""

    clock_delay_s: float = 40.0  # from a command to its first step
    clock_steps: int = 1  # of equal size, the last one at the commanded clock
    clock_step_s: float = 1.0  # between steps
    brake_delay_s: float = 5.0  # of pulling and of releasing
    brake_clock: float = 0.2  # share of the maximum clock
    brake_hold_s: float = 45.0  # in force for at least so long
    brake_refractory_s: float = 60.0  # after a release nothing rises for so long
    cap_delay_s: float = 40.0  # from a command to a cap until it acts
    admission_delay_s: float = 1.0  # from a command to admission until it acts

    @property
    def clock_s(self) -> float:
        """From a command to the last step of its ramp, if nothing else is in flight."""
        return self.clock_delay_s + (self.clock_steps - 1) * self.clock_step_s


@dataclass(frozen=True)
class Calibration:
    """What speeds rest on beside the shipped constants; ``sample`` 0: the fitted values."""

    own: OwnConstants | None = None
    sample: int = 0


@dataclass(frozen=True)
class Scenario:
    """A whole checked scenario: what ``engine.build`` needs, and what the manifest records."""

    name: str
    file: str  # as the user named it, for messages
    duration_s: float
    warm_up_s: float
    drain_s: float
    seed: int
    record: str  # "full", "sampled", "summary"
    record_iterations: bool
    sample_every: int  # for "sampled": one request in this many
    site: Site
    power: PowerTree
    pools: tuple[Pool, ...]
    workloads: tuple[Workload, ...]
    placement: Any  # a placement policy object
    power_policy: Any
    expectations: tuple[Expectation, ...]
    price_usd_per_j: float | None  # None: none is stated, or it changes by the hour (facility)
    warnings: tuple[str, ...]
    resolved: Mapping[str, Any]  # the plain tree after `extends`, `--set` and defaults; JSON-able
    sources: tuple[str, ...]  # ids of the data sources that its catalog entries rest on
    events: tuple[PlannedEvent, ...] = ()
    #: Plant, weather, hours of price and carbon, as far as they are stated.
    facility: Facility = field(default_factory=Facility)
    record_power: str = "changes"  # "changes" of power nodes' draw, or "minutes" only
    telemetry: Telemetry = Telemetry()
    actuation: Actuation = Actuation()
    fabric: FabricSource | None = None  # the network, built when somebody asks for it
    paths: Any = None  # a policy that chooses paths in it
    storage: Storage = NO_STORAGE
    #: [servers] the leaves that each is on, where a pool is to share none; else empty.
    leaves: tuple[tuple[str, ...], ...] = ()
    remarks: tuple[str, ...] = ()  # what is well, and by how much
    neighbours: tuple[Traffic, ...] = ()  # what else crosses the network
    calibration: Calibration = Calibration()
    costs: CostsSpec = field(default_factory=CostsSpec)  # as far as the scenario states them
    #: Of ``expect``; a run has one variant only, so it leaves them to ``sim.study.expect``.
    comparisons: tuple[BetterSpec, ...] = ()
    #: The scenario as it was written, after `extends` and `--set`: what can be run again.
    written: Mapping[str, Any] = field(default_factory=dict)

    @property
    def moves(self) -> bool:
        """Whether anything moves, between servers or inside of them, during a run."""
        spans = self.fabric is not None  # else stages send at the rate of their NICs
        migrates = self.fabric is not None and any(event.kv for event in self.events)
        return (
            bool(self.neighbours)
            or migrates
            or any(pool.decode or pool.weights or (spans and pool.spans) for pool in self.pools)
        )


#: What ``check`` makes of a document of either kind; both have a name, a seed, expectations, ….
AnyScenario: TypeAlias = Scenario | PlacementScenario


def serving(scenario: AnyScenario, what: str) -> Scenario:
    """A scenario that serves requests, which ``what`` needs.

    Raises:
        ScenarioError: it is of another kind.
    """
    if isinstance(scenario, Scenario):
        return scenario
    message = f"{what} needs 'kind: serving', not 'kind: placement'"
    raise ScenarioError([Problem(Mark(scenario.file), "kind", message)])
