"""The ``sampling`` of a study: points drawn from what its axes span, in place of a grid.

``{kind: latin-hypercube, points: 64, seed: 1}`` spreads points evenly over every axis;
``{kind: search, points: 60, seed: 1, batch: 4}`` looks for the best of the study's objective. An
axis is then a list of values, or a range without a step: ``{from: 60 /s, to: 240 /s}``, with
``scale: log`` where ratios matter. Ends that are both whole, written without a point, leave whole
numbers between them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import Mark
from sim.spec.axes import Findings
from sim.spec.nodes import Node, Path, show

LATIN_HYPERCUBE, SEARCH = "latin-hypercube", "search"
KINDS = (LATIN_HYPERCUBE, SEARCH)
#: Points of a search that are asked for before the first of them is told, unless the study says.
#: It is part of the study, not of the machine: how many workers there are must change nothing.
BATCH = 4


@dataclass(frozen=True)
class SamplingSpec:
    """How points are drawn.

    Attributes:
        kind: one of ``KINDS``.
        points: how many.
        seed: of the draws; the same seed draws the same points.
        batch: of a search: how many points are asked for at a time.
    """

    kind: str
    points: int
    seed: int
    batch: int
    mark: Mark

    @property
    def text(self) -> str:
        """``latin-hypercube, 64 points, seed 1``."""
        batch = f", in batches of {self.batch}" if self.kind == SEARCH else ""
        return f"{self.kind}, {self.points} points, seed {self.seed}{batch}"


def read_sampling(node: Node, most: int, found: Findings) -> SamplingSpec | None:
    """The ``sampling`` of a study; what is wrong goes to ``found``.

    ``most``: points that a study may have.
    """
    path: Path = ("sampling",)
    parts = found.mapping(node, path, ("kind", "points", "seed", "batch"))
    if not parts:
        return None
    kind = parts["kind"].value if "kind" in parts else None
    if kind not in KINDS:
        where = parts.get("kind", node)
        message = f"expected one of {', '.join(KINDS)}"
        found.add(where, (*path, "kind"), message if kind is None else f"{message}, not {kind!r}")
        return None
    if "batch" in parts and kind != SEARCH:
        found.add(parts["batch"], (*path, "batch"), "only a search goes in batches")
    numbers = {"points": (0, 1, most), "seed": (0, 0, 2**32 - 1), "batch": (BATCH, 1, 1000)}
    read = {
        key: _number(node, parts.get(key), (*path, key), bounds, found)
        for key, bounds in numbers.items()
    }
    assert isinstance(kind, str)
    return SamplingSpec(kind, read["points"], read["seed"], read["batch"], node.mark)


def _number(
    node: Node, part: Node | None, path: Path, bounds: tuple[int, int, int], found: Findings
) -> int:
    default, least, most = bounds
    if part is None:
        if path[-1] == "points":
            found.add(node, path, "missing: how many points are drawn, such as 64")
        return default
    number = part.value
    if type(number) is not int or not least <= number <= most:
        message = f"expected a whole number from {least} to {most:,}, not {show(part.plain())}"
        found.add(part, path, message)
        return default
    return number
