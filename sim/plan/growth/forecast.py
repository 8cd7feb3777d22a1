"""Loads to come, month by month, as curves that 10, 50 and 90 % of futures stay below.

Stated quantiles of growth are compounded: the curve of a quantile grows at its rate throughout, as
what is uncertain is the trend, not each month on its own. A history of peaks is forecast in
logarithms. *Drift*: the median of the monthly differences, of which the spread comes from samples
of them, plus as many monthly surprises drawn from the residuals (Efron's bootstrap). *AutoETS*
(Hyndman et al., 2008, as in statsforecast): the exponential smoothing of least AICc, errors
additive. Alone it is too sure: it takes its parameters, and that the trend goes on, for known. So
the mean of its curves and the drift's is taken, by which the crossing is as often within as is
said; docs/growth.md has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from sim.errors import RackplanError
from sim.plan.growth.history import Peaks, read_peaks
from sim.rng import generator
from sim.spec.growth import QUANTILES, GrowthSpec, History, Stated, refuse_months
from sim.spec.months import month_text

Floats = NDArray[np.float64]

#: Paths that the drift's quantiles are taken from.
_PATHS = 4000
_EXTRA = "statsforecast"
_DRIFT = "median drift with its spread, and monthly surprises drawn from the residuals"
#: Of fewer months AutoETS makes too much (docs/growth.md).
LEAST_OF_ETS = 24


@dataclass(frozen=True)
class Forecast:
    """What the load may be.

    Attributes:
        start: month 0, whose load is known.
        curves: [3, months + 1] loads that 10, 50 and 90 % of futures stay below in each month.
        method: how they were made, in a sentence; ``notes``: more to know.
        past: the history; None where growth was stated.
    """

    start: int
    curves: Floats
    method: str
    notes: tuple[str, ...]
    past: Peaks | None

    @property
    def months(self) -> list[str]:
        """The months of the curves."""
        return [month_text(self.start + index) for index in range(self.curves.shape[1])]


def has_extra() -> bool:
    """Whether the extra ``forecast`` is installed."""
    return find_spec(_EXTRA) is not None


def forecast(spec: GrowthSpec, months: int) -> Forecast:
    """The load of the next ``months`` months.

    Raises:
        ScenarioError: a history that cannot be used, or launches outside of these months.
        RackplanError: a launch takes the load below nothing.
    """
    if isinstance(spec.of, Stated):
        made = _of_rates(spec.of, months)
    else:
        made = _of_history(spec.of, months)
    refuse_months(spec, made.start, made.start + months)
    curves = made.curves.copy()
    for launch in spec.launches:
        curves[:, launch.month - made.start :] += launch.load
    if curves.min() < 0.0:
        month = month_text(made.start + int(curves.min(axis=0).argmin()))
        raise RackplanError(f"the launches take the load below 0 in {month} (P10)")
    return Forecast(made.start, curves, made.method, made.notes, made.past)


def _of_rates(stated: Stated, months: int) -> Forecast:
    ahead = np.arange(months + 1)
    curves = np.array([stated.load * (1.0 + rate) ** ahead for rate in stated.rates])
    return Forecast(stated.start, curves, f"growth as stated: {stated.text}", (), None)


def _of_history(history: History, months: int) -> Forecast:
    peaks = read_peaks(history)
    logs = np.log(peaks.loads)
    factors = np.zeros(months + len(logs))
    method = _DRIFT
    notes = []
    if history.season is not None:
        factors = seasonal(logs, history.season, months)
    past, ahead = factors[: len(logs)], factors[len(logs) :]
    curves = drift(logs - past, months)
    if not has_extra():
        notes.append("without the extra rackplan[forecast] (AutoETS) the curves are a little wider")
    elif len(logs) < LEAST_OF_ETS:
        notes.append(f"AutoETS was not used: it is too sure of fewer than {LEAST_OF_ETS} months")
    else:
        curves = 0.5 * (curves + auto_ets(logs - past, months))
        method = f"mean of AutoETS and {_DRIFT}"
    if history.season is not None:
        method += ", after a yearly season was taken out"
    told = f"{len(logs)} months of {history.file}: {method}"
    known = np.full((len(QUANTILES), 1), peaks.loads[-1])
    return Forecast(
        peaks.last, np.hstack([known, np.exp(curves + ahead)]), told, tuple(notes), peaks
    )


def seasonal(logs: Floats, season: int, months: int) -> Floats:
    """[n + months] by how much the season lifts log loads, mean 0: least squares beside a trend."""
    n = len(logs)
    at = np.arange(n + months)
    of_month = np.eye(season)[at % season]
    fitted = np.linalg.lstsq(np.column_stack([at[:n], of_month[:n]]), logs, rcond=None)[0][1:]
    return np.asarray(of_month @ (fitted - fitted.mean()))


def drift(logs: Floats, months: int) -> Floats:
    """[3, months] quantiles of log loads after a history [n]; equal for equal input.

    Each path has a drift of its own, the median of as many differences as there are, drawn with
    replacement, and in each month a surprise drawn from the differences less their mean.
    """
    rng = generator(0, "growth/drift")
    steps = np.diff(logs)
    n = len(steps)
    own = np.median(steps[rng.integers(0, n, (_PATHS, n))], axis=1)
    surprises = (steps - steps.mean())[rng.integers(0, n, (_PATHS, months))]
    paths = logs[-1] + np.cumsum(own[:, None] + surprises, axis=1)
    return np.asarray(np.quantile(paths, list(QUANTILES.values()), axis=0))


def auto_ets(logs: Floats, months: int) -> Floats:
    """[3, months] quantiles of log loads by the extra ``forecast``.

    Errors are additive and logs are counted from the first one, or the unit of the load would
    matter.
    """
    from statsforecast.models import AutoETS

    model = AutoETS(season_length=1, model="AZN")
    made = model.forecast(y=logs - logs[0], h=months, level=[80])
    return np.asarray(logs[0] + np.array([made["lo-80"], made["mean"], made["hi-80"]]))
