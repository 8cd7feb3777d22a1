"""What a user should know about a trace in a run: sentences about what was made of its rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.workload.plan import TraceSpec
from sim.workload.table import TraceTable
from sim.workload.types import OPEN

_MINUTE_S, _HOUR_S = 60.0, 3600.0
#: Times that agree to this share are the same.
_ALIKE = 1e-6


def trace_notes(
    table: TraceTable, spec: TraceSpec, rate_per_s: float | None, duration_s: float
) -> tuple[str, ...]:
    """Sentences about a prepared trace in a run of ``duration_s``; none where it is as recorded.

    They say that arrivals were spread inside their bins, at what factor the trace was superposed or
    thinned, and which part of it the run leaves out, or which part of the run it leaves empty.
    """
    said = []
    if spec.spread_s > 0:
        said.append(
            f"arrivals are recorded in bins: spread evenly over {_time(spec.spread_s)} "
            "(spread: 0 s replays them as recorded)"
        )
    ratio = 1.0 if rate_per_s is None else rate_per_s * table.period_s / len(table)
    scaled = rate_per_s is not None and not math.isclose(ratio, 1.0, rel_tol=_ALIKE)
    if scaled:
        said.append(_scaled(len(table) / table.period_s, ratio))
    said.extend(_cut(table, spec, duration_s, scaled=scaled))
    if not spec.loop:
        said.extend(_outlasted(table, spec, duration_s))
    return tuple(said)


def _scaled(own_per_s: float, ratio: float) -> str:
    wanted, own = f"{_number(own_per_s * ratio)} /s", f"{_number(own_per_s)} /s"
    if ratio < 1.0:
        return (
            f"thinned to {_number(ratio)} of its own rate, {own}, for {wanted}: each request, with "
            "what follows it, is kept or left out at random"
        )
    whole = math.floor(ratio * (1 + _ALIKE))
    left = ratio - whole
    last = f" and one thinned to {_number(left)}" if left > _ALIKE * ratio else ""
    copies = "1 copy" if whole == 1 else f"{whole:,} copies"
    return (
        f"{_number(ratio)} times its own rate, {own}, for {wanted}: {copies} of it{last} run at "
        "once, each from its own place in the trace"
    )


def _cut(table: TraceTable, spec: TraceSpec, duration_s: float, *, scaled: bool) -> list[str]:
    """The duration ends before the trace does."""
    whose = "its" if spec.start_s == 0 and spec.end_s is None else "the slice's"
    if scaled:  # no count of the trace's rows tells how many requests are left out
        if duration_s >= table.period_s * (1 - _ALIKE):
            return []
        run, own = _times(duration_s, table.period_s)
        return [f"the run's {run} end before {whose} {own}: what comes later is left out"]
    taken = int(np.searchsorted(table.arrival_s[_open(table)], duration_s, side="left"))
    heads = np.append(np.flatnonzero(_open(table)), len(table))
    rows = int(heads[taken])
    if rows == len(table):
        return []
    run = _time(duration_s)
    return [f"the run's {run} take {rows:,} of {whose} {len(table):,} requests"]


def _outlasted(table: TraceTable, spec: TraceSpec, duration_s: float) -> list[str]:
    """The trace, replayed once, ends before the run does."""
    follows = not _open(table).all()
    nothing = "no conversation starts" if follows else "nothing arrives"
    if math.isnan(table.period_s):
        last, run = _times(float(table.arrival_s[_open(table)][-1]), duration_s)
        ask = "loop: true with an end repeats it"
        return [f"its only arrival is at {last} of the run's {run}; {nothing} after ({ask})"]
    if table.period_s >= duration_s * (1 - _ALIKE):
        return []
    own, run = _times(table.period_s, duration_s)
    whose = "its" if spec.start_s == 0 and spec.end_s is None else "the slice's"
    return [f"{whose} {own} end before the run's {run}; {nothing} after (loop: true repeats it)"]


def _open(table: TraceTable) -> NDArray[np.bool_]:
    is_open: NDArray[np.bool_] = table.after_request == OPEN
    return is_open


def _times(left_s: float, right_s: float) -> tuple[str, str]:
    """Two times with as many digits, from 3, as it takes to tell them apart."""
    for digits in range(3, 9):
        texts = _time(left_s, digits), _time(right_s, digits)
        scales = _scale(left_s)[0], _scale(right_s)[0]
        shown = [
            float(t.split()[0].replace(",", "")) * s for t, s in zip(texts, scales, strict=True)
        ]
        if abs(shown[0] - shown[1]) > 1e-9 * shown[1]:
            break
    return texts


def _time(seconds: float, digits: int = 3) -> str:
    """Hours from one hour on, minutes from one minute on, else seconds: ``58.4 min``, ``2 h``."""
    scale, unit = _scale(seconds)
    return f"{_number(seconds / scale, digits)} {unit}"


def _scale(seconds: float) -> tuple[float, str]:
    if seconds >= _HOUR_S:
        return _HOUR_S, "h"
    return (_MINUTE_S, "min") if seconds >= _MINUTE_S else (1.0, "s")


def _number(value: float, digits: int = 3) -> str:
    return f"{value:,.0f}" if value >= 10.0**digits else f"{value:.{digits}g}"
