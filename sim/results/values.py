"""Values on their way to becoming metrics: a number, or the reason why there is none."""

from __future__ import annotations

#: The value, the reason where it is None, and the bound of its relative error.
Value = tuple[float | None, str, float]

NO_WINDOW = "the run has no measurement window: it ended before its warm-up did"
NO_METER = "the run ended before its meters were written"


def known(value: float, error: float = 0.0) -> Value:
    """A number, exact or with a bound on its relative error."""
    return (float(value), "", error)


def unknown(reason: str) -> Value:
    """No number, and why."""
    return (None, reason, 0.0)


def ratio(top: float | None, bottom: float, reason: str, no_top: str = "") -> Value:
    """``top / bottom``; unknown if ``bottom`` is 0 (``reason``) or ``top`` None (``no_top``)."""
    if top is None:
        return unknown(no_top)
    return known(top / bottom) if bottom > 0 else unknown(reason)
