"""What a file of measurements holds, family by family: the answer to "what did it do?"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sim.calibrate.fit import CASE
from sim.calibrate.read import Calibration, Timed


@dataclass(frozen=True)
class FamilyReport:
    """One family: how many kernels, how sure their medians are, the best rates seen.

    Attributes:
        half_width: median over its kernels of half an interval, as a share of the median time.
        widest: the largest of them.
        flops_per_s: the highest rate of arithmetic, cold; None where there is no arithmetic.
        bytes_per_s: the highest rate of bytes, cold.
    """

    kind: str
    dtype: str
    kernels: int
    shapes: int
    converged: int
    half_width: float
    widest: float
    flops_per_s: float | None
    bytes_per_s: float


def families(file: Calibration) -> tuple[FamilyReport, ...]:
    """All families of a file, in order of name."""
    groups: dict[tuple[str, str], list[Timed]] = {}
    for timed in file.timed:
        groups.setdefault(timed.kernel.family, []).append(timed)
    return tuple(_family(kind, dtype, group) for (kind, dtype), group in sorted(groups.items()))


def _family(kind: str, dtype: str, group: Sequence[Timed]) -> FamilyReport:
    widths = [max(case.half_width for case in timed.cases.values()) for timed in group]
    rates = [
        (timed.kernel.work.flops / time_s, timed.kernel.work.bytes / time_s)
        for timed in group
        for time_s in [timed.cases[CASE].median]
    ]
    flops = max(rate for rate, _ in rates)
    return FamilyReport(
        kind=kind,
        dtype=dtype,
        kernels=len(group),
        shapes=len({timed.kernel.shape for timed in group}),
        converged=sum(timed.converged for timed in group),
        half_width=median(widths),
        widest=max(widths),
        flops_per_s=flops or None,
        bytes_per_s=max(rate for _, rate in rates),
    )


def throttling(file: Calibration) -> dict[str, int]:
    """Reason → kernels beside whose timings it was seen."""
    return dict(Counter(reason for timed in file.timed for reason in timed.throttled).most_common())
