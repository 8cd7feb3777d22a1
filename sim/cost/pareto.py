"""What a study has to offer: its points that no other beats in everything that counts.

A point is dominated if another is at least as good in every objective and better in one; equal
points dominate neither each other nor themselves, so ties stay together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from sim.errors import RackplanError, UnknownName

#: The side of a study's row that is not its baseline.
_POINT = "point"
#: What an objective may be asked to be; "lower" and "higher" are how metrics say it.
DIRECTIONS: Mapping[str, float] = {"lower": 1.0, "min": 1.0, "higher": -1.0, "max": -1.0}


@dataclass(frozen=True)
class Front:
    """The front of a study.

    Attributes:
        objectives: name → "lower" or "higher", in the order asked for.
        points: a row for each point whose objectives are all known, with the columns ``point``,
            axes, the objectives' means over seeds, and ``front``.
        unknown: numbers of the points that lack an objective: nothing can be said of them.
    """

    objectives: Mapping[str, str]
    points: pa.Table
    unknown: tuple[int, ...]

    @property
    def front(self) -> pa.Table:
        """The points on the front, the best in the first objective first; ties by number."""
        kept = self.points.filter(self.points.column("front"))
        orders = {"lower": "ascending", "higher": "descending"}
        keys = [(name, orders[way]) for name, way in self.objectives.items()]
        return kept.sort_by([*keys, ("point", "ascending")])


def pareto_mask(values: ArrayLike, directions: Sequence[str]) -> NDArray[np.bool_]:
    """[n] which of n points no other dominates.

    Args:
        values: [n, d] objectives; a point with a NaN is not on the front and dominates nobody.
        directions: [d] "lower" (or "min") or "higher" (or "max").

    Raises:
        UnknownName: another direction.
        ValueError: shapes that do not fit.
    """
    signs = np.array([_sign(direction) for direction in directions])
    costs = np.asarray(values, dtype=np.float64)
    if costs.ndim != 2 or costs.shape[1] != len(signs) or not len(signs):
        raise ValueError(f"needs [n, {len(signs)}] values, not {costs.shape}")
    costs = costs * signs
    mask = np.zeros(len(costs), dtype=bool)
    known = np.flatnonzero(~np.isnan(costs).any(axis=1))
    # In ascending order of all objectives nobody is dominated by one that comes later, so a look
    # at the front so far is enough.
    order = known[np.lexsort(costs[known].T[::-1])]
    front = np.empty((len(order), len(signs)))
    size = 0
    for at in order:
        best = front[:size]
        as_good = (best <= costs[at]).all(axis=1)
        better = (best < costs[at]).any(axis=1)
        if not (as_good & better).any():
            front[size] = costs[at]
            size += 1
            mask[at] = True
    return mask


def _sign(direction: str) -> float:
    if direction not in DIRECTIONS:
        raise UnknownName("direction", direction, DIRECTIONS)
    return DIRECTIONS[direction]


def pareto_front(table: pa.Table, objectives: Mapping[str, str]) -> Front:
    """The front of a study's ``study.parquet``, by the means over each point's seeds.

    Args:
        table: a row for every point, side and seed; rows of the baseline and of failed runs are
            left out.
        objectives: column → direction, such as ``{"energy_cost_per_mtoken": "lower"}``.

    Raises:
        RackplanError: no objective, one that is no column of numbers, or no table of a study.
    """
    if not objectives:
        raise RackplanError("a front needs at least one objective")
    if "point" not in table.column_names:
        raise RackplanError("the table has no column 'point': it is no study.parquet of a sweep")
    for name in objectives:
        if name not in table.column_names:
            raise UnknownName("objective", name, table.column_names)
        kind = table.schema.field(name).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise RackplanError(f"objective {name!r} is {kind}, not a number")
    ways = {n: "lower" if _sign(way) > 0.0 else "higher" for n, way in objectives.items()}
    if "side" in table.column_names:
        table = table.filter(pc.equal(table.column("side"), _POINT))
    if "status" in table.column_names:
        table = table.filter(pc.equal(table.column("status"), "finished"))
    means, unknown = _means(table, list(objectives))
    values = np.column_stack([means.column(name).to_numpy() for name in objectives])
    mask = pareto_mask(values.reshape(len(means), len(objectives)), tuple(ways.values()))
    return Front(ways, means.append_column("front", pa.array(mask)), unknown)


def _means(table: pa.Table, objectives: list[str]) -> tuple[pa.Table, tuple[int, ...]]:
    """A row for each point with its labels and means; the points that lack one in some seed."""
    names = table.column_names
    labels = names[1 : names.index("side")] if "side" in names else []
    keep: dict[str, list[object]] = {name: [] for name in ["point", *labels, *objectives]}
    unknown = []
    numbers = table.column("point").to_numpy()
    columns = {n: table.column(n).to_numpy(zero_copy_only=False) for n in objectives}
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        values = {n: columns[n][rows].astype(np.float64) for n in objectives}
        if any(np.isnan(one).any() for one in values.values()):
            unknown.append(int(number))
            continue
        keep["point"].append(int(number))
        for label in labels:
            keep[label].append(table.column(label)[int(rows[0])].as_py())
        for name in objectives:
            keep[name].append(float(values[name].mean()))
    fields = [table.schema.field(n) for n in ["point", *labels]]
    fields += [pa.field(n, pa.float64(), metadata=table.schema.field(n).metadata)
               for n in objectives]  # fmt: skip
    return pa.table(keep, schema=pa.schema(fields)), tuple(unknown)
