"""A study that asks for the cheapest mix of hardware: ``question: {cheapest: …}``.

::

    question:
      cheapest:
        chat: {racks: [dgx-h100-4, dgx-h200-4], tensor_parallel: [2, 4],
               replicas: {from: 1, to: 64}}
        batch: {racks: [dgx-h100-4], replicas: {from: 1, to: 32}}
      limits: {power: 400 kW, racks: 12, cost: 9_000_000 USD}
      prices: {dgx-h100-4: 1_400_000 USD, dgx-h200-4: 1_600_000 USD}
      life: 5 years
      rows: [row-1]
      runs: 300

Without ``racks`` the pools are on the hardware that the base has, and GPUs are counted in place of
money: how many replicas prefill and how many decode, say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from sim.errors import Mark, ScenarioError, did_you_mean
from sim.spec.axes import Findings, read_changes
from sim.spec.merge import Change
from sim.spec.nodes import Node, Path, show
from sim.spec.quantity import read_quantity
from sim.spec.question import KEYS, REQUIRED, SEEDS, read_lines, read_plan_seeds
from sim.spec.study import open_reader, read_name
from sim.units import UnitError

CHEAPEST = "cheapest"
#: Runs that are looked at, where the study does not say.
RUNS = 400
#: What of a pool may be chosen beside its hardware.
DEGREES = (
    "tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel_attention",
)  # fmt: skip
_KEYS = (CHEAPEST, "limits", "prices", "life", "rows", "runs")
_OF_POOLS = ("racks", *DEGREES, "replicas")
_LIMITS = {"power": "power", "racks": "count", "cost": "money"}
_PATH: Path = ("question",)
#: Choices of one pool, above which a list is a slip.
MOST_CHOICES = 100
_MOST_REPLICAS = 100_000


@dataclass(frozen=True)
class Named:
    """A name and where it is written."""

    text: str
    mark: Mark


@dataclass(frozen=True)
class PoolMix:
    """What may be chosen for a pool.

    ``racks``: types; none: the base's own hardware. ``degrees``: key of the pool → values.
    """

    name: str
    mark: Mark
    racks: tuple[Named, ...]
    degrees: tuple[tuple[str, tuple[int, ...]], ...]
    first: int
    last: int


@dataclass(frozen=True)
class MixSpec:
    """A question for a mix as read; nothing in it has been looked up yet.

    Attributes:
        file, name, base, base_mark, root, changes, subject_to, seeds: as ``QuestionSpec`` has them.
        mark: of the question.
        pools: what may be chosen for each.
        limits: "power" (W), "racks", "cost" (USD) → the most; ``limit_marks``: where each is.
        prices: rack type → USD.
        life_years: over which hardware is paid; None: not stated.
        rows: where the racks are laid; none: all rows of the base.
        runs: that are looked at at most.
    """

    file: str
    name: str
    base: str
    base_mark: Mark
    root: FilePath
    changes: tuple[Change, ...]
    mark: Mark
    pools: tuple[PoolMix, ...]
    limits: Mapping[str, float]
    prices: Mapping[str, float]
    life_years: float | None
    rows: tuple[Named, ...]
    runs: int
    subject_to: Node | None
    seeds: int
    limit_marks: Mapping[str, Mark] = field(default_factory=dict)
    price_marks: Mapping[str, Mark] = field(default_factory=dict)


@dataclass
class _Asked:
    pools: tuple[PoolMix, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    life_years: float | None = None
    rows: tuple[Named, ...] = ()
    runs: int = RUNS
    mark: Mark = field(default_factory=lambda: Mark(""))
    limit_marks: dict[str, Mark] = field(default_factory=dict)
    price_marks: dict[str, Mark] = field(default_factory=dict)


def read_mix(path: str | os.PathLike[str], *, allow_outside: bool = False) -> MixSpec:
    """Read a study that asks for the cheapest mix.

    Raises:
        ScenarioError: everything that is wrong with the file itself.
    """
    reader, found = open_reader(path, "question", KEYS, REQUIRED)
    base, base_mark, bound = reader.base(allow_outside)
    asked = reader.part("question", lambda node: _question(node, found)) or _Asked()
    seeds = reader.value("seeds", read_plan_seeds)
    spec = MixSpec(
        file=reader.file,
        name=reader.value("name", read_name) or "",
        base=base,
        base_mark=base_mark,
        root=bound,
        changes=reader.part("set", lambda node: read_changes(node, ("set",), found)) or (),
        mark=asked.mark,
        pools=asked.pools,
        limits=asked.limits,
        prices=asked.prices,
        life_years=asked.life_years,
        rows=asked.rows,
        runs=asked.runs,
        subject_to=reader.part("subject_to", lambda node: read_lines(node, found)),
        seeds=SEEDS if seeds is None else seeds,
        limit_marks=asked.limit_marks,
        price_marks=asked.price_marks,
    )
    if found.problems:
        raise ScenarioError(found.problems)
    return spec


def _question(node: Node, found: Findings) -> _Asked:
    parts = found.mapping(node, _PATH, _KEYS)
    asked = _Asked(mark=node.mark)
    if CHEAPEST not in parts:
        if parts:
            found.add(node, _PATH, "expected cheapest: the pools whose hardware is sought")
        return asked
    asked.pools = tuple(_pools(parts[CHEAPEST], found))
    if "limits" in parts:
        _limits(parts["limits"], asked, found)
    _prices(parts.get("prices"), asked, found)
    if "life" in parts:
        asked.life_years = _quantity(parts["life"], (*_PATH, "life"), "life", found)
    if "rows" in parts:
        asked.rows = tuple(_names(parts["rows"], (*_PATH, "rows"), "of rows", found))
    if "runs" in parts:
        asked.runs = _whole(parts["runs"], (*_PATH, "runs"), found, least=2) or RUNS
    _all_alike(node, asked, found)
    return asked


def _all_alike(node: Node, asked: _Asked, found: Findings) -> None:
    """Either racks are chosen for every pool, or for none."""
    bought = [pool for pool in asked.pools if pool.racks]
    if bought and len(bought) < len(asked.pools):
        pool = next(pool for pool in asked.pools if not pool.racks)
        path = (*_PATH, CHEAPEST, pool.name)
        message = "missing: racks (the types of which its replicas may be, as other pools have)"
        found.add(Node(pool.mark, None), path, message)
    if asked.pools and not bought:
        for key in ("limits", "prices", "rows", "life"):
            stated = {"limits": asked.limits, "prices": asked.prices, "rows": asked.rows,
                      "life": asked.life_years}[key]  # fmt: skip
            if stated:
                message = "has no effect without racks: the base's own hardware is not bought"
                place = node.at((key,)) or node
                found.add(place, (*_PATH, key), message)


def _pools(node: Node, found: Findings) -> Iterator[PoolMix]:
    path = (*_PATH, CHEAPEST)
    if not isinstance(node.value, Mapping) or not node.value:
        message = (
            "expected pools, such as {chat: {racks: [dgx-h100-4], replicas: {from: 1, to: 64}}}"
        )
        found.add(node, path, message)
        return
    for name, entry in node.value.items():
        at = (*path, name)
        parts = found.mapping(entry.node, at, _OF_POOLS)
        if not parts and not isinstance(entry.node.value, Mapping):
            continue
        if "replicas" not in parts:
            found.add(entry.node, at, "missing: replicas (such as {from: 1, to: 64})")
            continue
        ends = _ends(parts["replicas"], (*at, "replicas"), found)
        racks = tuple(_names(parts["racks"], (*at, "racks"), "of rack types", found)) if (
            "racks" in parts
        ) else ()  # fmt: skip
        degrees = tuple(
            (key, tuple(_numbers(parts[key], (*at, key), found))) for key in DEGREES if key in parts
        )
        if ends is None or not all(values for _, values in degrees):
            continue
        choices = max(1, len(racks))
        for _, values in degrees:
            choices *= len(values)
        if choices > MOST_CHOICES:
            found.add(entry.node, at, f"{choices:,} choices; a pool has {MOST_CHOICES} at most")
            continue
        yield PoolMix(name, entry.key, racks, degrees, *ends)


def _ends(node: Node, path: Path, found: Findings) -> tuple[int, int] | None:
    parts = found.mapping(node, path, ("from", "to"))
    if not parts:
        return None
    missing = [key for key in ("from", "to") if key not in parts]
    if missing:
        message = f"missing: {' and '.join(missing)} (the numbers that may be the answer)"
        found.add(node, path, message)
        return None
    first, last = (_whole(parts[key], (*path, key), found) for key in ("from", "to"))
    if first is None or last is None:
        return None
    if last < first:
        found.add(parts["to"], (*path, "to"), f"{last} is below {first}: from is the least value")
        return None
    return first, last


def _whole(node: Node, path: Path, found: Findings, least: int = 1) -> int | None:
    value = node.value
    if type(value) is not int or not least <= value <= _MOST_REPLICAS:
        wanted = f"a whole number from {least} to {_MOST_REPLICAS:,}"
        found.add(node, path, f"expected {wanted}, not {show(node.plain())}")
        return None
    return value


def _numbers(node: Node, path: Path, found: Findings) -> Iterator[int]:
    """One whole number, or a list of them."""
    items = node.value if isinstance(node.value, tuple) else (node,)
    if not items:
        found.add(node, path, "expected numbers, such as [2, 4, 8], not an empty list")
    seen: set[int] = set()
    for index, item in enumerate(items):
        at = (*path, index) if isinstance(node.value, tuple) else path
        number = _whole(item, at, found)
        if number in seen:
            found.add(item, at, f"{number} is there twice")
        elif number is not None:
            seen.add(number)
            yield number


def _names(node: Node, path: Path, what: str, found: Findings) -> Iterator[Named]:
    if not isinstance(node.value, tuple) or not node.value:
        found.add(node, path, f"expected a list of names {what}, not {show(node.plain())}")
        return
    seen: set[str] = set()
    for index, item in enumerate(node.value):
        if not isinstance(item.value, str):
            found.add(item, (*path, index), f"expected a name, not {show(item.plain())}")
        elif item.value in seen:
            found.add(item, (*path, index), f"{item.value!r} is there twice")
        else:
            seen.add(item.value)
            yield Named(item.value, item.mark)


def _quantity(node: Node, path: Path, dimension: str, found: Findings) -> float | None:
    try:
        value = read_quantity(node.plain(), dimension)
    except UnitError as error:
        found.add(node, path, str(error))
        return None
    if value <= 0.0:
        found.add(node, path, f"must be above 0, not {show(node.plain())}")
        return None
    return value


def _limits(node: Node, asked: _Asked, found: Findings) -> None:
    path = (*_PATH, "limits")
    for key, limit in found.mapping(node, path, tuple(_LIMITS)).items():
        value = _quantity(limit, (*path, key), _LIMITS[key], found)
        if value is not None:
            asked.limits[key], asked.limit_marks[key] = value, limit.mark


def _prices(node: Node | None, asked: _Asked, found: Findings) -> None:
    path = (*_PATH, "prices")
    if node is None:
        return
    if not isinstance(node.value, Mapping) or not node.value:
        message = "expected rack types and what one costs, such as {dgx-h100-4: 1400000 USD}"
        found.add(node, path, message)
        return
    used = {rack.text for pool in asked.pools for rack in pool.racks}
    for name, entry in node.value.items():
        price = _quantity(entry.node, (*path, name), "money", found)
        if used and name not in used and not found.problems:
            message = f"no pool may have racks of this type{did_you_mean(name, sorted(used))}"
            found.add(Node(entry.key, None), (*path, name), message)
        elif price is not None:
            asked.prices[name], asked.price_marks[name] = price, entry.key
