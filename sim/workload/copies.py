"""How many copies of a source's own traffic a wanted rate needs, and how many a run holds."""

from __future__ import annotations

import math

from sim.errors import BuildError

#: Each copy has its own offset, or its own state and generator, and is asked in every stretch of
#: time. Traffic of so many independent copies is Poisson for every purpose of a plan.
MOST_COPIES = 100_000


def copies_for(ratio: float, own_per_s: float, path: str, whose: str, *, at: str = "") -> int:
    """The copies that together have ``ratio`` times the rate of one, the last one thinned; ≥ 1.

    Args:
        own_per_s: mean rate of one copy.
        path: YAML path of the workload.
        whose: whose rate ``own_per_s`` is, for the message ("the trace's own").
        at: when that rate is wanted, for the message, if not at all times.

    Raises:
        BuildError: at the workload's ``rate``, more than ``MOST_COPIES``.
    """
    if ratio > MOST_COPIES:
        wanted, own, most = map(_rate, (ratio * own_per_s, own_per_s, MOST_COPIES * own_per_s))
        message = (
            f"{wanted}{at} is {ratio:.3g} times {whose} {own}; at most {MOST_COPIES:,} copies are "
            f"superposed, which is {most}"
        )
        raise BuildError(f"{path}.rate", message)
    return max(1, math.ceil(ratio))


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f} /s" if 1000 <= per_s < 1e12 else f"{per_s:.3g} /s"
