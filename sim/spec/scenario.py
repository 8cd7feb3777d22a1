"""The whole scenario file: the sections and the few words that stand beside them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from sim.spec.actuation import ActuationSpec
from sim.spec.calibration import CalibrationSpec
from sim.spec.cooling import CoolingSpec
from sim.spec.costs import CostsSpec
from sim.spec.events import EventSpec
from sim.spec.expect import BetterSpec, Expectation, ExpectSpec
from sim.spec.fabric import FabricSpec
from sim.spec.hourly import Carbon
from sim.spec.kinds import PLACEMENT, SERVING
from sim.spec.llms import LlmSpec
from sim.spec.neighbours import TrafficSpec
from sim.spec.nodes import show
from sim.spec.placement import Arrival, Gpus
from sim.spec.policies import PoliciesSpec
from sim.spec.pools import PoolSpec
from sim.spec.power import PowerSpec
from sim.spec.price import PriceSpec
from sim.spec.record import RECORDS, RecordSpec
from sim.spec.scaling import ScalingSpec
from sim.spec.site import SiteSpec
from sim.spec.storage import StorageSpec
from sim.spec.telemetry import TelemetrySpec
from sim.spec.types import (
    Many,
    Name,
    OneOf,
    PositiveSeconds,
    Reserved,
    Seconds,
    Shorthand,
    Spec,
    Value,
    refuse,
)
from sim.spec.workload import WorkloadSpec

#: The version of the scenario language that this rackplan reads.
VERSION = 1
#: Sections that are lists of items which are checked one by one.
LISTS = ("llms", "pools", "workload", "neighbours", "events", "expect")


class Version(Value):
    """``rackplan: 1``."""

    def read(self, value: Any) -> int:
        """The version itself."""
        if value == VERSION and type(value) is int:
            return VERSION
        if type(value) is int:
            raise refuse(f"this rackplan reads scenario version {VERSION}, not {show(value)}")
        raise refuse(f"expected the scenario version: write {VERSION}, not {show(value)}")

    def schema(self) -> dict[str, Any]:
        """A constant."""
        return {"const": VERSION}


ScenarioName = Annotated[
    str, Name(r"[a-z0-9][a-z0-9._-]*", "small letters, digits, '.', '-' and '_'")
]
_Reserved = Annotated[None, Reserved()]


class ScenarioSpec(Spec):
    """A scenario file; a part that fails its shape is None.

    ``sim.spec.kinds`` says what each kind requires, and which sections belong to which.
    """

    rackplan: Annotated[int, Version()] | None = Field(
        default=None, description="version of the scenario language"
    )
    kind: Annotated[str, OneOf((SERVING, PLACEMENT), guess=False)] = Field(
        default=SERVING,
        description="serving: requests on a site; placement: a list of pods on a list of nodes",
    )
    name: ScenarioName | None = Field(
        default=None, description="the scenario's name, also of its results"
    )
    extends: str | None = Field(default=None, description="a scenario file that this one changes")
    duration: PositiveSeconds | None = Field(default=None, description="how long requests arrive")
    warm_up: Seconds = Field(default=0.0, description="metrics leave out arrivals before it")
    drain: Seconds = Field(default=300.0, description="how long the run goes on after the duration")
    seed: Annotated[int, Field(ge=0)] = Field(default=1, description="seed of every random stream")
    record: Annotated[RecordSpec, Shorthand("level", RECORDS)] = Field(
        default=RecordSpec(), description="full, sampled or summary"
    )
    nodes: str | None = Field(
        default=None, description="placement: file of nodes, CSV or Kubernetes JSON"
    )
    pods: str | None = Field(
        default=None, description="placement: file of pods, CSV or Kubernetes JSON"
    )
    arrival: Annotated[float | str, Arrival()] = Field(
        default=1.3, description="placement: demand until which pods arrive, of all GPUs; or list"
    )
    quotas: dict[str, Gpus] = Field(
        default={}, description="placement: tenant, and the most GPUs it may have at a time"
    )
    site: SiteSpec | None = Field(default=None, description="halls, rows and racks")
    power: PowerSpec | None = Field(default=None, description="utility, UPSs and PDUs")
    fabric: FabricSpec | None = Field(default=None, description="the network between nodes")
    storage: StorageSpec | None = Field(default=None, description="where weights lie")
    neighbours: Many[TrafficSpec | None] = Field(
        default=(), description="what else crosses the network"
    )
    llms: Many[LlmSpec | None] = Field(default=(), description="the LLMs that are served")
    pools: Many[PoolSpec | None] = Field(default=(), description="replicas of each LLM")
    workload: Many[WorkloadSpec | None] = Field(default=(), description="the traffic")
    calibration: CalibrationSpec = Field(
        default=CalibrationSpec(), description="which constants speeds and draws rest on"
    )
    policies: PoliciesSpec = Field(default=PoliciesSpec(), description="what runs the site")
    expect: Many[Annotated[ExpectSpec | BetterSpec, Expectation()] | None] = Field(
        default=(), description="what the run must meet"
    )
    telemetry: TelemetrySpec = Field(
        default=TelemetrySpec(), description="what power controllers see, and how late"
    )
    actuation: ActuationSpec = Field(
        default=ActuationSpec(), description="how long their commands take"
    )
    price: PriceSpec = Field(default=PriceSpec(), description="what energy costs")
    costs: CostsSpec = Field(
        default=CostsSpec(), description="what the site costs, where the defaults do not hold"
    )
    events: Many[EventSpec | None] = Field(
        default=(), description="what fails and is restored, and when"
    )
    scaling: Many[ScalingSpec | None] = Field(
        default=(), description="how many replicas a pool has when, and who is placed anew"
    )
    cooling: CoolingSpec | None = Field(default=None, description="plant, weather and CDUs")
    carbon: Carbon | None = Field(
        default=None,
        description="average carbon of the grid's energy, such as 300 gCO2/kWh, or a file of hours",
    )
    tenants: _Reserved = Field(default=None)
    faults: _Reserved = Field(default=None)
    edge: _Reserved = Field(default=None)
    sites: _Reserved = Field(default=None)
    calendar: _Reserved = Field(default=None)
    services: _Reserved = Field(default=None)
