"""Arrival processes: renewals in operational time, mapped through a piecewise-constant intensity.

Every process here is a point process with unit-mean gaps in *operational* time (exponential gaps:
Poisson; gamma gaps: bursty or regular) that a cumulative intensity turns into real time: if
Λ(t) is the integral of the rate λ, an arrival at operational time x happens at Λ⁻¹(x). This time
change is exact for any piecewise-constant λ (Cinlar, Introduction to Stochastic Processes, 1975,
ch. 4). A random λ gives a doubly stochastic (Cox) process: on/off sources, the slow swings of a
service's load. Superposing independent Cox processes adds their λ, and thinning one multiplies its
λ, so scaling a source to another rate needs no arrival to be generated and thrown away.

Rates live in *epochs*: stretches of at most an hour, cut where the daily profile changes. Epochs do
not depend on the duration of a run or on the size of chunks, so a longer run starts with exactly
the arrivals of a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count

import numpy as np
from numpy.typing import NDArray

from sim.workload.copies import Copies, on_grid
from sim.workload.segments import Segments

#: Gaps drawn at a time, and so the most arrivals in one array.
BATCH = 65_536

#: About how many steps of the rate are held at a time, and one of each copy at least.
STEPS = 8192

EPOCH_S = 3600.0
DAY_S = 86_400.0

#: n → n gaps with mean 1, in operational time.
Gaps = Callable[[int], NDArray[np.float64]]

#: Times at which a level steps, ascending, and what it steps to.
Steps = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Pieces:
    """A piecewise-constant rate: ``rates[i]`` per second in [``edges[i]``, ``edges[i + 1]``).

    Each run of pieces starts where the one before it ends; an epoch is one or more of them.
    """

    edges: NDArray[np.float64]  # [m + 1], ascending
    rates: NDArray[np.float64]  # [m], ≥ 0
    last: bool = True  # they end their epoch


def epochs(profile: tuple[tuple[float, float], ...]) -> Iterator[tuple[float, float, float]]:
    """(start, end, multiple of the rate), one after the other from 0 without end.

    ``profile`` holds (time of day in s, multiple from then on), ascending; before the first entry
    the last one of the day before holds. An empty profile is the multiple 1 throughout. The clock
    starts at midnight.
    """
    hours = np.arange(0.0, DAY_S, EPOCH_S)
    times = [time for time, _ in profile]
    cuts = np.unique(np.concatenate([hours, np.asarray(times, dtype=np.float64)]))
    index = np.searchsorted(times, cuts, side="right") - 1  # -1: the day's last entry
    multiples = [profile[i][1] if profile else 1.0 for i in index.tolist()]
    ends = [*cuts[1:].tolist(), DAY_S]
    day = 0
    while True:
        for start, end, multiple in zip(cuts.tolist(), ends, multiples, strict=True):
            yield day * DAY_S + start, day * DAY_S + end, multiple
        day += 1


def steady(rate_per_s: float, profile: tuple[tuple[float, float], ...]) -> Iterator[Pieces]:
    """A rate that only the profile changes."""
    for start, end, multiple in epochs(profile):
        yield Pieces(np.array([start, end]), np.array([rate_per_s * multiple]))


def modulated(
    segments: Segments, rate_per_s: float, profile: tuple[tuple[float, float], ...]
) -> Iterator[Pieces]:
    """One modulated source at mean ``rate_per_s``: its own multiples times the profile's."""
    window_s = segments.mean_s * STEPS
    for start, end, multiple in epochs(profile):
        segments.take(math.nextafter(start, math.inf))  # one at the start is part of the level
        runs = _runs((start, end), window_s, segments.multiple, segments.take)
        for edges, levels, last in runs:
            yield Pieces(edges, levels * (rate_per_s * multiple), last)


def superposed(
    copies: Copies,
    own_rate_per_s: float,
    rate_per_s: float,
    profile: tuple[tuple[float, float], ...],
) -> Iterator[Pieces]:
    """Independent copies of a modulated source, as many as the wanted rate needs at each time.

    At a time when the wanted rate is r times the source's own, the first ⌊r⌋ copies run whole and
    the next is thinned to the fraction that is left; so more traffic of the same kind is smoother,
    as the traffic of more users is, and less is thinned independently.

    Multiples and the fraction are multiples of 2⁻¹⁸, so that sums of them are exact and the rate
    returns to exactly 0 when every copy is silent.
    """
    places = np.arange(len(copies))
    window_s = copies.mean_s * max(1.0, STEPS / len(copies))
    for start, end, multiple in epochs(profile):
        shares = on_grid(np.clip(rate_per_s * multiple / own_rate_per_s - places, 0.0, 1.0))
        copies.take(math.nextafter(start, math.inf))  # steps at the start are part of the level
        steps = partial(_summed, copies, shares)
        for edges, levels, last in _runs((start, end), window_s, copies.level(shares), steps):
            yield Pieces(edges, levels * own_rate_per_s, last)


def _summed(copies: Copies, shares: NDArray[np.float64], until_s: float) -> Steps:
    """When the level of all copies together steps below ``until_s``, in order, and to what."""
    level = copies.level(shares)
    copy, when_s, change = copies.take(until_s)
    runs = shares[copy] > 0.0
    copy, when_s, change = copy[runs], when_s[runs], change[runs]
    order = np.argsort(when_s, kind="stable")
    return when_s[order], level + np.cumsum((change * shares[copy])[order])


def _runs(
    epoch: tuple[float, float], window_s: float, level: float, steps: Callable[[float], Steps]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], bool]]:
    """Edges, levels between them, and whether they end the epoch, for a window after another.

    A run ends at a step, not where its window does, so the pieces do not depend on the windows.
    """
    edge, end_s = epoch
    for number in count(1):
        until_s = min(epoch[0] + number * window_s, end_s)
        when_s, to = steps(until_s)
        edges, levels = np.append(edge, when_s), np.append(level, to)
        if until_s == end_s:
            yield np.append(edges, end_s), levels, True
            return
        if len(when_s):
            yield edges, levels[:-1], False
        edge, level = float(edges[-1]), float(levels[-1])


def exponential_gaps(rng: np.random.Generator) -> Gaps:
    """Gaps of a Poisson process."""
    return lambda count: rng.standard_exponential(count)


def gamma_gaps(rng: np.random.Generator, cv: float) -> Gaps:
    """Gaps of a gamma renewal process whose inter-arrival CV is ``cv`` (> 0), in equilibrium.

    The shape is 1/cv². The very first gap is the residual of a gap met at a random time (a uniform
    share of a length-biased gap, which is gamma with shape + 1), so the rate is right from time 0.
    """
    shape = 1.0 / cv**2
    first = [float(rng.random()) * float(rng.standard_gamma(shape + 1.0)) / shape]

    def gaps(count: int) -> NDArray[np.float64]:
        drawn = rng.standard_gamma(shape, count) / shape
        if first:
            drawn[0] = first.pop()
        return drawn

    return gaps


def arrivals(
    rate: Iterator[Pieces], gaps: Gaps, duration_s: float
) -> Iterator[NDArray[np.float64]]:
    """Successive ascending arrays of arrivals in [0, ``duration_s``), at most ``BATCH`` in each."""
    from sim.kernels.time_change import accumulate, to_real_time

    # Operational times count from the start of the epoch. Of those pending, the ones before `done`
    # have been made real, and the ones before `first` handed out.
    pending = times = np.empty(0)
    first = done = 0
    last = total = 0.0
    for pieces in rate:
        if pieces.edges[0] >= duration_s:
            break
        steps = np.cumsum(np.concatenate([[total], pieces.rates * np.diff(pieces.edges)]))
        place = 0
        while True:
            if done == len(pending):
                if first < done:
                    yield times[first:done]
                pending, first, done = gaps(BATCH), 0, 0
                last, times = accumulate(pending, last), np.empty(BATCH)
            done, place, over = to_real_time(
                pending, done, steps, pieces.edges, place, duration_s, times
            )
            if over or done < len(pending):
                break
        if over:
            break
        total = float(steps[-1])
        if pieces.last:
            if first < done:
                yield times[first:done]
            first = done
            pending[done:] -= total
            last, total = last - total, 0.0
    if first < done:
        yield times[first:done]
