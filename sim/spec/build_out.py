"""A study that asks what to order when: ``question: {build_out: …}`` and how the load grows.

All spans are in whole months; month 0 is the first of the growth. Nothing here is run: what a unit
of a type serves, draws and costs is stated.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from sim.errors import Mark, Problem, ScenarioError
from sim.spec.axes import Findings
from sim.spec.fields import Fields, beside, read_text, read_whole
from sim.spec.files import Folders
from sim.spec.growth import GROWTH, GrowthSpec, read_growth, unit_text
from sim.spec.months import month_text, read_month, read_span
from sim.spec.nodes import Node, Path, show_path
from sim.spec.study import REQUIRED as OF_STUDIES
from sim.spec.study import open_reader, read_name
from sim.spec.types import Name, OneOf, Quantity

BUILD_OUT = "build_out"
KEYS = ("rackplan", "kind", "name", "question", "growth", "launches")
REQUIRED = {
    **{key: OF_STUDIES[key] for key in ("rackplan", "name")},
    "question": "build_out: {horizon: 36 months, types: […], …}",
    "growth": GROWTH,
}
_PATH: Path = ("question", BUILD_OUT)
_KEYS = ("horizon", "plan_for", "discount", "shortfall", "energy", "types", "power", "space")
_TYPE = (
    "name", "capacity", "capacity_from", "power", "mean_power", "racks", "price", "lead_time",
    "life", "maintenance", "most_per_month", "orders_from", "orders_until", "installed",
)  # fmt: skip
_INSTALLED = ("count", "since")
_POWER = ("contract", "step", "lead_time", "price", "fee", "most", "steps_per_month")
_SPACE = ("racks", "more")
_MORE = ("month", "racks")

_money = Quantity("money", least=0.0).read
_watts = Quantity("power", above=0.0).read


@dataclass(frozen=True)
class Batch:
    """Units that are there: in service since a month."""

    count: int
    since: int
    mark: Mark


@dataclass(frozen=True)
class Measured:
    """Another study that asks for a maximum, of a site with so many units of one type.

    Attributes:
        study: as messages name it; ``mark``: where it is named.
    """

    study: str
    units: int
    mark: Mark
    path: str


@dataclass(frozen=True)
class UnitType:
    """A type of unit that can be ordered: a node, a rack, a block of racks.

    Attributes:
        capacity: load that one serves within its objectives; no number (NaN) before ``measured``,
            the study that tells it, is answered.
        power_w: that it takes of the contract; None where no contract is modelled.
        mean_w: that it draws on average, for energy; None where energy has no price.
        racks: positions that it takes.
        price_usd: to be paid with the order.
        lead, life: months from order to service, and in service.
        maintenance_usd: a month in service.
        most: units ordered in a month at most.
        orders_from, orders_until: first and last month of orders; None: no such limit.
    """

    name: str
    capacity: float
    power_w: float | None
    mean_w: float | None
    racks: int
    price_usd: float
    lead: int
    life: int
    maintenance_usd: float
    most: int | None
    orders_from: int | None
    orders_until: int | None
    installed: tuple[Batch, ...]
    measured: Measured | None = None


@dataclass(frozen=True)
class Contract:
    """Contracted power, and the steps in which more may be ordered.

    Attributes:
        price_usd: of a step, a year from its arrival on; ``fee_usd``: once, with its order.
        most_w: the utility's maximum; None: unknown.
        most: steps ordered in a month at most.
        first: the first month, from 0, of an order.
    """

    contract_w: float
    step_w: float
    lead: int
    price_usd: float
    fee_usd: float
    most_w: float | None
    most: int | None
    first: int = 0


@dataclass(frozen=True)
class BuildOutSpec:
    """Such a study as read.

    Attributes:
        months: of the horizon, the first one included.
        plan_for: "p50" or "p90", the quantile of the load that decides.
        discount: a year.
        shortfall_usd: the price of one unit of load that cannot be served, a month.
        energy_usd_per_j: None: energy is left out.
        racks: (month, positions from then on), the first from the start; None: no limit.
    """

    file: str
    name: str
    months: int
    plan_for: str
    discount: float
    shortfall_usd: float
    energy_usd_per_j: float | None
    types: tuple[UnitType, ...]
    contract: Contract | None
    racks: tuple[tuple[int | None, int], ...] | None
    growth: GrowthSpec


def read_build_out(path: str | os.PathLike[str], *, allow_outside: bool = False) -> BuildOutSpec:
    """Read a study that asks for a build-out.

    Raises:
        ScenarioError: everything that is wrong with the file itself.
    """
    reader, found = open_reader(path, "question", KEYS, REQUIRED)
    growth = read_growth(reader, found, allow_outside)
    name = reader.value("name", read_name) or ""
    folders = reader.folders(allow_outside)
    read = reader.part("question", lambda node: _question(node, growth, folders, found))
    if found.problems:
        raise ScenarioError(found.problems)
    assert read is not None
    assert growth is not None
    return BuildOutSpec(file=reader.file, name=name, growth=growth, **read)


def _question(
    node: Node, growth: GrowthSpec | None, folders: Folders, found: Findings
) -> dict[str, Any] | None:
    """The fields of ``BuildOutSpec`` that stand in the question."""
    parts = found.mapping(node, ("question",), (BUILD_OUT,))
    if BUILD_OUT not in parts:
        return None
    fields = Fields(parts[BUILD_OUT], _PATH, _KEYS, found)
    about = {
        "horizon": "how far it is planned, such as 36 months",
        "discount": "a year, such as 8 %",
        "shortfall": "the price of one unit of load that is not served, a month, such as 500 USD",
    }
    energy = fields.value("energy", Quantity("money_per_energy", least=0.0).read)
    contract = _contract(fields)
    read: dict[str, Any] = {
        "months": fields.value("horizon", lambda value: read_span(value, 1), about["horizon"]),
        "plan_for": fields.value("plan_for", OneOf(("p50", "p90")).read, default="p90"),
        "discount": fields.value(
            "discount", Quantity("fraction", least=0.0, most=1.0).read, about["discount"]
        ),
        "shortfall_usd": fields.value(
            "shortfall", Quantity("money", above=0.0).read, about["shortfall"]
        ),
        "energy_usd_per_j": energy,
        "types": _types(fields, growth, folders, "power" in fields.parts, "energy" in fields.parts),
        "contract": contract,
        "racks": _space(fields),
    }
    return read


def _types(
    fields: Fields, growth: GrowthSpec | None, folders: Folders, power: bool, energy: bool
) -> tuple[UnitType, ...]:
    if "types" not in fields.parts and fields.sound:
        fields.value("types", str, "what can be ordered: [{name: …, capacity: 12 /s, …}]")
    example = "[{name: dgx-h100, capacity: 12 /s, …}]"
    types: dict[str, UnitType] = {}
    for item, path in fields.items("types", example):
        one = _type(Fields(item, path, _TYPE, fields.found), growth, folders, power, energy)
        if one is not None and one.name in types:
            fields.found.add(item, (*path, "name"), f"{one.name!r} is named twice")
        elif one is not None:
            types[one.name] = one
    return tuple(types.values())


def _type(
    fields: Fields, growth: GrowthSpec | None, folders: Folders, power: bool, energy: bool
) -> UnitType | None:
    name = fields.value("name", Name().read, "what it is called")
    measured = _measured(fields, folders)
    capacity: tuple[float, str] | None = None
    if "capacity_from" in fields.parts:
        capacity = (math.nan, "" if growth is None else growth.unit)
        if "capacity" in fields.parts:
            fields.add("capacity_from", "the capacity is stated too: leave one out")
    else:
        capacity = fields.load("capacity", "the load that one serves, such as 12 /s")
    power_w = fields.value("power", _watts, "what one takes of the contract, such as 11 kW" * power)
    mean_w = fields.value("mean_power", _watts, "what one draws on average" * energy)
    racks = fields.value("racks", read_whole(0), default=1)
    price = fields.value("price", _money, "of one, paid with the order, such as 300000 USD")
    lead = fields.value("lead_time", read_span, "from order to service, such as 6 months")
    life = fields.value("life", lambda value: read_span(value, 1), "in service, such as 60 months")
    upkeep = fields.value("maintenance", _money, default=0.0)
    most = fields.value("most_per_month", read_whole(1))
    first = fields.value("orders_from", read_month)
    last = fields.value("orders_until", read_month)
    if capacity is not None:
        _check_capacity(fields, capacity, growth)
    if not power and "power" in fields.parts:
        fields.add("power", "nothing limits it: state the power contract beside types:")
    installed = tuple(_installed(fields))
    needed = (name, capacity, racks, price, lead, life, upkeep)
    if any(value is None for value in needed):
        return None
    assert name is not None and capacity is not None and racks is not None  # noqa: PT018
    assert price is not None and lead is not None and life is not None  # noqa: PT018
    assert upkeep is not None
    return UnitType(
        name, capacity[0], power_w, mean_w, racks, price, lead, life, upkeep, most, first, last,
        installed, measured,
    )  # fmt: skip


def _measured(fields: Fields, folders: Folders) -> Measured | None:
    """The study that tells a capacity."""
    if "capacity_from" not in fields.parts:
        return None
    path = (*fields.path, "capacity_from")
    part = Fields(fields.parts["capacity_from"], path, ("study", "units"), fields.found)
    study = part.value("study", read_text, "a study that asks for a maximum")
    units = part.value("units", read_whole(1), "how many of this type its site has, such as 4")
    if study is None or units is None:
        return None
    mark, where = part.parts["study"].mark, show_path((*path, "study"))
    try:
        folders.locate(study, mark, where)
    except ScenarioError as error:
        fields.found.problems.extend(error.problems)
        return None
    return Measured(beside(mark.file, study), units, mark, where)


def _check_capacity(fields: Fields, capacity: tuple[float, str], growth: GrowthSpec | None) -> None:
    if capacity[0] <= 0.0:
        fields.add("capacity", f"must be above 0, not {capacity[0]:g}")
    if growth is not None and capacity[1] != growth.unit:
        units = f"is in {unit_text(capacity[1])}, and the growth in {unit_text(growth.unit)}"
        fields.add("capacity", units)


def _installed(fields: Fields) -> list[Batch]:
    batches = []
    for item, path in fields.items("installed", "[{count: 4, since: 2024-03}]"):
        one = Fields(item, path, _INSTALLED, fields.found)
        count = one.value("count", read_whole(1), "how many are there")
        since = one.value("since", read_month, "the first month in service, such as 2024-03")
        if count is not None and since is not None:
            batches.append(Batch(count, since, item.mark))
    return batches


def _contract(fields: Fields) -> Contract | None:
    if "power" not in fields.parts:
        return None
    part = Fields(fields.parts["power"], (*_PATH, "power"), _POWER, fields.found)
    contract = part.value("contract", _watts, "what is contracted, such as 400 kW")
    step = part.value("step", _watts, "by which it may grow, such as 100 kW")
    lead = part.value("lead_time", read_span, "from order to power, such as 12 months")
    price = part.value("price", _money, "of a step a year, such as 18000 USD")
    fee = part.value("fee", _money, default=0.0)
    most_w = part.value("most", _watts)
    most = part.value("steps_per_month", read_whole(1))
    if contract is not None and most_w is not None and most_w < contract:
        part.add("most", "is below what is contracted already")
    if contract is None or step is None or lead is None or price is None or fee is None:
        return None
    return Contract(contract, step, lead, price, fee, most_w, most)


def _space(fields: Fields) -> tuple[tuple[int | None, int], ...] | None:
    if "space" not in fields.parts:
        return None
    part = Fields(fields.parts["space"], (*_PATH, "space"), _SPACE, fields.found)
    racks = part.value("racks", read_whole(0), "positions for racks, such as 20")
    levels: list[tuple[int | None, int]] = [(None, racks)] if racks is not None else []
    for item, path in part.items("more", "[{month: 2028-01, racks: 40}]"):
        one = Fields(item, path, _MORE, fields.found)
        month = one.value("month", read_month, "from when on, such as 2028-01")
        number = one.value("racks", read_whole(0), "positions in all from then on")
        if month is not None and number is not None:
            levels.append((month, number))
    return tuple(levels)


def refuse_senseless(spec: BuildOutSpec, start: int) -> None:
    """Refuse units that are not there yet, or whose life was over before the start.

    Raises:
        ScenarioError: there are such.
    """
    problems = []
    for index, one in enumerate(spec.types):
        for number, batch in enumerate(one.installed):
            path = f"question.build_out.types[{index}].installed[{number}].since"
            if batch.since > start:
                message = f"{month_text(batch.since)} is after {month_text(start)}, the first month"
                problems.append(Problem(batch.mark, path, message))
            elif batch.since + one.life <= start:
                ended = month_text(batch.since + one.life)
                message = f"in service since {month_text(batch.since)}, its life ended in {ended}"
                problems.append(Problem(batch.mark, path, message))
    if problems:
        raise ScenarioError(problems)
