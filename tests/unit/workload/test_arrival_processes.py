"""Arrival processes against what theory says of them."""

from __future__ import annotations

from itertools import chain, islice, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.rng import generator
from sim.workload.arrivals import (
    arrivals,
    epochs,
    exponential_gaps,
    gamma_gaps,
    modulated,
    steady,
    superposed,
)
from sim.workload.copies import Copies
from sim.workload.segments import State, on_off, table_mean


def _times(pieces, gaps, duration_s: float) -> NDArray[np.float64]:
    chunks = list(arrivals(pieces, gaps, duration_s))
    times = np.concatenate(chunks) if chunks else np.empty(0)
    assert (np.diff(times) >= 0).all()
    assert not len(times) or (times[0] >= 0.0 and times[-1] < duration_s)
    return times


def _rng(name: str) -> np.random.Generator:
    return generator(11, name)


def _dispersion(times: NDArray[np.float64], duration_s: float, bin_s: float) -> float:
    counts = np.histogram(times, np.arange(0.0, duration_s + bin_s / 2, bin_s))[0]
    return float(counts.var() / counts.mean())


def test_poisson_counts_and_gaps() -> None:
    times = _times(steady(20.0, ()), exponential_gaps(_rng("p")), 20_000.0)
    assert len(times) == pytest.approx(400_000, abs=4 * 400_000**0.5)
    assert np.diff(times).std() / np.diff(times).mean() == pytest.approx(1.0, abs=0.01)
    assert _dispersion(times, 20_000.0, 1.0) == pytest.approx(1.0, abs=0.05)
    # Given their number, the places of Poisson arrivals are uniform (Kolmogorov-Smirnov).
    distance = np.abs(times / 20_000.0 - (np.arange(len(times)) + 0.5) / len(times)).max()
    assert distance < 1.95 / len(times) ** 0.5


@pytest.mark.parametrize("cv", [0.3, 1.0, 4.0])
def test_gamma_has_its_rate_and_cv(cv: float) -> None:
    times = _times(steady(10.0, ()), gamma_gaps(_rng("g"), cv), 40_000.0)
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)
    assert len(times) == pytest.approx(400_000, abs=4 * cv * 400_000**0.5)


def test_gamma_is_in_equilibrium_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean count of the first seconds is rate times time, also at a CV of 4."""
    monkeypatch.setattr("sim.workload.arrivals.BATCH", 512)
    counts = [
        len(_times(steady(1.0, ()), gamma_gaps(generator(seed, "g"), 4.0), 2.0))
        for seed in range(3000)
    ]
    error = np.std(counts) / len(counts) ** 0.5
    assert np.mean(counts) == pytest.approx(2.0, abs=4 * error)
    assert error < 0.12


def test_on_off_has_the_dispersion_of_theory() -> None:
    """Var(N)/E(N) - 1 of a Markov-modulated on/off source (Fischer and Meier-Hellstern, 1993)."""
    on_s, off_s, rate, bin_s, duration_s = 8.0, 24.0, 5.0, 10.0, 400_000.0
    pieces = modulated(on_off(_rng("s"), on_s, off_s), rate, ())
    times = _times(pieces, exponential_gaps(_rng("p")), duration_s)
    share, relaxation = on_s / (on_s + off_s), 1 / (1 / on_s + 1 / off_s)
    peak = rate / share
    variance = peak**2 * share * (1 - share)  # of the rate
    x = bin_s / relaxation
    excess = 2 * variance * relaxation**2 * (x - 1 + np.exp(-x)) / (rate * bin_s)
    assert _dispersion(times, duration_s, bin_s) == pytest.approx(1 + excess, rel=0.05)
    assert len(times) / duration_s == pytest.approx(rate, rel=0.03)


def test_on_off_is_silent_while_off_and_scales_with_the_profile() -> None:
    profile = ((0.0, 0.5), (43_200.0, 1.5))
    quiet, busy = 0, 0
    for day in range(8):
        segments = on_off(generator(day, "s"), 20.0, 20.0)
        pieces = modulated(segments, 4.0, profile)
        times = _times(pieces, exponential_gaps(generator(day, "p")), 86_400.0)
        quiet += int((times < 43_200.0).sum())
        busy += int((times >= 43_200.0).sum())
    assert busy / quiet == pytest.approx(3.0, rel=0.06)
    assert quiet / (8 * 43_200.0) == pytest.approx(2.0, rel=0.05)


def test_profile_multiplies_the_rate_of_the_day() -> None:
    profile = ((6 * 3600.0, 1.0), (9.5 * 3600.0, 3.0), (20 * 3600.0, 0.0))
    times = _times(steady(2.0, profile), exponential_gaps(_rng("p")), 2 * 86_400.0)
    hours = times / 3600.0
    for day in (0.0, 24.0):
        assert not ((hours >= day) & (hours < day + 6)).any()  # the evening's 0 lasts to 6 h
        morning = int(((hours >= day + 6) & (hours < day + 9.5)).sum())
        noon = int(((hours >= day + 9.5) & (hours < day + 20)).sum())
        assert morning == pytest.approx(3.5 * 3600 * 2, rel=0.03)
        assert noon == pytest.approx(10.5 * 3600 * 6, rel=0.015)
        assert not ((hours >= day + 20) & (hours < day + 24)).any()


def test_gamma_under_a_profile_keeps_its_cv_in_operational_time() -> None:
    profile = ((0.0, 1.0), (12 * 3600.0, 4.0))
    times = _times(steady(2.0, profile), gamma_gaps(_rng("g"), 0.2), 86_400.0)
    for low, high, rate in ((0, 12, 2.0), (12, 24, 8.0)):
        part = times[(times >= low * 3600) & (times < high * 3600)]
        gaps = np.diff(part)
        assert len(part) / (12 * 3600) == pytest.approx(rate, rel=0.01)
        assert gaps.std() / gaps.mean() == pytest.approx(0.2, rel=0.03)


def test_epochs_cover_the_day_without_a_gap() -> None:
    found = list(islice(epochs(((5400.0, 2.0), (80_000.0, 0.5))), 60))
    assert all(a[1] == b[0] for a, b in pairwise(found))
    assert found[0] == (0.0, 3600.0, 0.5)
    assert found[1] == (3600.0, 5400.0, 0.5)
    assert found[2] == (5400.0, 7200.0, 2.0)
    assert sum(end - start for start, end, _ in found if end <= 86_400.0) == 86_400.0


STATES = (
    State(np.array([2.0, 6.0, 40.0]), np.array([0.5, 1.0, 3.0])),
    State(np.array([30.0]), np.array([0.0])),
)


def _copies(count: int, visits: int = 8) -> Copies:
    return Copies(count, 5, "copy", STATES, visits)


def test_stratified_segments_keep_tables_and_mean() -> None:
    copies = _copies(1, visits=16)
    copies.take(0.0)
    first = copies.multiples.copy()
    _, starts, changes = copies.take(200_000.0)
    order = np.argsort(starts)
    starts = np.concatenate([[0.0], starts[order]])
    multiples = np.cumsum(np.concatenate([first, changes[order]]))
    assert multiples[-1] == copies.multiples[0]
    durations = np.diff(np.append(starts, 200_000.0))
    assert (durations > 0).all()
    assert (durations * multiples).sum() / 200_000.0 == pytest.approx(1.0, abs=0.01)
    on = durations[multiples > 0][1:-1]
    assert on.mean() == pytest.approx(table_mean(STATES[0].duration_s), rel=0.02)
    assert on.min() >= 2.0
    assert on.max() <= 40.0
    assert durations[multiples == 0.0][1:-1] == pytest.approx(30.0)
    assert copies.mean_s == pytest.approx(durations[1:-1].mean(), rel=0.02)


def test_segments_do_not_depend_on_how_they_are_asked() -> None:
    def steps(*untils_s: float) -> list[tuple[float, ...]]:
        copies = _copies(3)
        parts = [zip(*copies.take(until_s), strict=True) for until_s in untils_s]
        return sorted(chain.from_iterable(parts))

    assert steps(0.0, 0.5, 1.0, 700.0, 701.0, 5000.0) == steps(5000.0)
    assert len(steps(5000.0)) > 300


def test_copies_are_independent_and_as_many_as_wanted() -> None:
    """Copy k is the same whatever the number of copies."""
    few, many = _copies(2), _copies(9)
    some, all_ = few.take(4000.0), many.take(4000.0)
    for one, other in zip(some, all_, strict=True):
        np.testing.assert_array_equal(one[some[0] == 1], other[all_[0] == 1])
    assert len({*many.multiples.tolist()} - {0.0}) > 1


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5, 40.0])
def test_superposed_rate_is_the_wanted_one(ratio: float) -> None:
    own, duration_s = 4.0, 50_000.0
    pieces = superposed(_copies(max(1, int(np.ceil(ratio)))), own, own * ratio, ())
    times = _times(pieces, exponential_gaps(_rng("p")), duration_s)
    assert len(times) / duration_s == pytest.approx(own * ratio, rel=0.03 if ratio < 2 else 0.01)


def test_superposing_averages_bursts_out_and_thinning_dilutes_them() -> None:
    """Dispersion - 1 stays under superposition and shrinks by the share kept under thinning."""
    own, duration_s, bin_s = 4.0, 400_000.0, 5.0
    excess = {}
    for ratio in (0.25, 1.0, 8.0):
        pieces = superposed(_copies(max(1, int(ratio))), own, own * ratio, ())
        times = _times(pieces, exponential_gaps(_rng("p")), duration_s)
        excess[ratio] = _dispersion(times, duration_s, bin_s) - 1
    assert excess[8.0] == pytest.approx(excess[1.0], rel=0.05)
    assert excess[0.25] == pytest.approx(excess[1.0] / 4, rel=0.1)


def test_sum_of_silent_copies_is_exactly_silent() -> None:
    pieces = superposed(_copies(7), 1.0, 6.3, ())
    for _ in range(20):
        assert next(pieces).rates.min() >= 0.0
    lone = superposed(_copies(1), 1.0, 0.37, ())
    for _ in range(20):
        rates = next(lone).rates
        assert rates.min() == 0.0


def test_superposed_under_a_profile_turns_copies_on_and_off() -> None:
    profile = ((0.0, 0.25), (12 * 3600.0, 2.0))
    pieces = superposed(_copies(6), 4.0, 12.0, profile)
    times = _times(pieces, exponential_gaps(_rng("p")), 86_400.0)
    night = (times < 43_200.0).sum() / 43_200.0
    assert night == pytest.approx(3.0, rel=0.03)
    assert (len(times) - (times < 43_200.0).sum()) / 43_200.0 == pytest.approx(24.0, rel=0.02)


def test_longer_runs_start_with_the_shorter() -> None:
    made = {
        duration: _times(
            superposed(_copies(3), 4.0, 9.0, ()), exponential_gaps(_rng("p")), duration
        )
        for duration in (10.0, 3600.0, 9000.0)
    }
    for duration in (10.0, 3600.0):
        short = made[duration]
        np.testing.assert_array_equal(short, made[9000.0][: len(short)])
