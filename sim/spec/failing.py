"""What a study lets fail: kinds, names, or names together; when, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import Mark
from sim.spec.axes import Findings
from sim.spec.nodes import Node, Path, show, show_path
from sim.spec.quantity import read_quantity
from sim.units import UnitError

#: Keys of what fails.
FAILING = ("survives", "at", "for")


@dataclass(frozen=True)
class Failing:
    """An item of the list: names that fail together, or one kind or name; where it stands."""

    names: tuple[str, ...]
    together: bool
    mark: Mark
    path: str


@dataclass(frozen=True)
class FailingSpec:
    """Everything that fails, one after the other.

    Attributes:
        items: of the list.
        at_s: when; None: at the end of the warm-up. ``for_s``: for how long; None: for good.
        mark: where the question is written.
    """

    items: tuple[Failing, ...]
    at_s: float | None
    for_s: float | None
    mark: Mark


def read_failing(node: Node, parts: dict[str, Node], path: Path, found: Findings) -> FailingSpec:
    """What a mapping at ``path`` says of it; ``parts``: its entries by key."""
    items: list[Failing] = []
    where = parts.get("survives")
    if where is not None:
        if not isinstance(where.value, tuple) or not where.value:
            what = "an empty one" if where.value == () else show(where.plain())
            message = f"expected a list such as [ups, pdu, leaf], not {what}"
            found.add(where, (*path, "survives"), message)
        else:
            for index, item in enumerate(where.value):
                one = _item(item, (*path, "survives", index), found)
                if one is not None:
                    items.append(one)
    at_s, for_s = (
        _time(parts[key], (*path, key), found) if key in parts else None for key in ("at", "for")
    )
    if for_s == 0.0:
        found.add(parts["for"], (*path, "for"), "must be above 0 s; leave it out for good")
    return FailingSpec(tuple(items), at_s, for_s, node.mark)


def _item(item: Node, path: Path, found: Findings) -> Failing | None:
    shown = show_path(path)
    if isinstance(item.value, str) and item.value:
        return Failing((item.value,), False, item.mark, shown)
    if isinstance(item.value, tuple) and item.value:
        names = [one.value for one in item.value]
        if all(isinstance(name, str) and name for name in names):
            return Failing(tuple(str(name) for name in names), True, item.mark, shown)
    message = "expected a kind (ups), a name (ups-a) or a list of names that fail together"
    found.add(item, path, f"{message}, not {show(item.plain())}")
    return None


def _time(node: Node, path: Path, found: Findings) -> float | None:
    try:
        seconds = read_quantity(node.plain(), "time")
    except (UnitError, ValueError) as error:
        found.add(node, path, str(error))
        return None
    if seconds < 0.0:
        found.add(node, path, f"must be at least 0 s, not {show(node.plain())}")
        return None
    return seconds
