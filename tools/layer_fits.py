"""Shared by the fits of attention and experts: bounded fits, whole shapes held out, the record."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sim.validate.tables import Columns, Floats, Mask, take

#: name → (scale of the parameter in SI units, lowest, start, highest in that scale)
Ranges = Mapping[str, tuple[float, float, float, float]]
FOLDS = 5
NOTHING = 1e-10  # seconds or shares
SOFT = 0.1  # of log errors: where the loss turns from squares to absolute values


@dataclass(frozen=True)
class Form:
    """A model of kernel seconds with bounded parameters; ``fixed`` ones are not fitted."""

    ranges: Ranges
    fixed: Mapping[str, float]
    seconds: Callable[[Mapping[str, float], Columns], Floats]

    def values(self, x: Floats) -> dict[str, float]:
        """Parameters in SI units, by name."""
        free = {n: float(v) * r[0] for (n, r), v in zip(self.ranges.items(), x, strict=True)}
        return free | dict(self.fixed)

    def fit(self, table: Columns) -> dict[str, float]:
        """The parameters that fit these rows, by soft-L1 of log errors."""
        low, start, high = (
            np.array([r[i] for r in self.ranges.values()], float) for i in (1, 2, 3)
        )

        def off(x: Floats) -> Floats:
            return np.log(self.seconds(self.values(x), table) / table["seconds"])

        found = least_squares(
            off, np.clip(start, low + 1e-9, high - 1e-9), bounds=(low, high), loss="soft_l1",
            f_scale=SOFT, x_scale=high - low, max_nfev=100,
        )  # fmt: skip
        return self.values(found.x)

    def held_out(self, table: Columns, groups: NDArray[Any]) -> Floats:
        """Relative errors of rows whose whole group the fit has not seen."""
        order = np.random.default_rng(0).permutation(np.unique(groups))
        errors = np.empty(len(groups))
        for fold in range(FOLDS):
            test = np.isin(groups, order[fold::FOLDS])
            if not test.any():
                continue
            found = self.fit(take(table, ~test))
            errors[test] = self.seconds(found, take(table, test)) / table["seconds"][test] - 1
        return errors


def measures(errors: Floats) -> dict[str, Any]:
    """Figures of relative errors, in per cent; ``spread`` is of their logarithms."""
    size = np.abs(errors)
    return {
        "rows": len(errors),
        "mape_pct": _round(size.mean()),
        "median_pct": _round(np.median(size)),
        "p90_pct": _round(np.quantile(size, 0.9)),
        "bias_pct": _round(errors.mean()),
        "spread_log": float(f"{np.log1p(errors).std():.3g}"),
    }


def _round(share: float) -> float:
    return round(100 * float(share), 1)


def record(
    kernel: str,
    table: Columns,
    groups: NDArray[Any],
    errors: Floats,
    inside: Floats,
    regimes: Mapping[str, Mask],
    ranges: Sequence[str],
    **more: Any,
) -> dict[str, Any]:
    """What is known of one kernel's fit; regimes without rows are left out."""
    line = {
        "kernel": kernel,
        "shapes": len(np.unique(groups)),
        "held_out": measures(errors),
        "in_sample_mape_pct": _round(np.abs(inside).mean()),
        "regimes": {name: measures(errors[m]) for name, m in regimes.items() if m.any()},
        "fitted_shapes": " ".join(np.unique(table["shape"])),
        "calibrated": {n: [float(table[n].min()), float(table[n].max())] for n in ranges},
        **more,
    }
    shown = line["held_out"]
    print(
        f"{kernel}: {shown['rows']} rows, {line['shapes']} shapes, held out "
        f"{shown['mape_pct']} % (median {shown['median_pct']}, P90 {shown['p90_pct']}, bias "
        f"{shown['bias_pct']:+}), in sample {line['in_sample_mape_pct']} %",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    for name, some in line["regimes"].items():
        print(f"    {name}: {some['rows']} rows, {some['mape_pct']} %", file=sys.stderr, flush=True)
    return line


def rounded(kind: type, values: Mapping[str, float]) -> dict[str, float]:
    """The fields of ``kind`` in their order, four digits; what the fit drove to nothing is 0."""
    names = [f.name for f in fields(kind) if f.name in values]
    return {n: float(f"{values[n]:.4g}") if abs(values[n]) > NOTHING else 0.0 for n in names}
