"""Whether measured runs lie within the ranges that drawn errors give their predictions.

``rackplan run --uncertainty N`` puts the range of N samples around each metric and says that the
true value is within it in N − 1 of N + 1 cases. Here the true values are measured ones, of runs
that the fits had not seen, each predicted under the samples of its own error class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sim.engine.predict import Predictor
from sim.validate.serving import METRICS, Evaluator, Outcome

#: An outcome, and by metric the ends of its range.
Ranged = tuple[Outcome, tuple[tuple[float, float] | None, ...]]


@dataclass(frozen=True)
class Coverage:
    """Of a set of runs: metric → share that was measured within the range of the samples."""

    runs: int
    nominal: float
    inside: dict[str, float]


def ranges(
    outcomes: Iterable[Outcome],
    samples: int,
    track: Callable[[Iterable[int]], Iterable[int]] = lambda each: each,
) -> list[Ranged]:
    """Each closed-loop outcome with the range of each metric; None where a sample has none.

    ``track`` sees the numbers of the samples go by.
    """
    have = [one for one in outcomes if not one.why_not and one.run.clients is not None]
    drawn: list[list[Outcome]] = []
    for sample in track(range(1, samples + 1)):
        evaluator = Evaluator(Predictor(sample=sample))
        drawn.append([evaluator.outcome(one.run, one.stack) for one in have])
    found = []
    for i, one in enumerate(have):
        ends: list[tuple[float, float] | None] = []
        for metric in range(len(METRICS)):
            values = [part[i].predicted[metric] for part in drawn]
            known = [value for value in values if value is not None]
            ends.append((min(known), max(known)) if len(known) == samples else None)
        found.append((one, tuple(ends)))
    return found


def coverage(some: Sequence[Ranged], samples: int) -> Coverage:
    """The share of measured values within their ranges."""
    inside: dict[str, float] = {}
    for metric, name in enumerate(METRICS):
        hits = []
        for one, ends in some:
            measured, between = one.measured[metric], ends[metric]
            if measured is not None and between is not None:
                hits.append(between[0] <= measured <= between[1])
        if hits:
            inside[name] = sum(hits) / len(hits)
    return Coverage(len(some), (samples - 1) / (samples + 1), inside)


#: Clients up to which a row of the report goes.
_LOADS = ((8, "to 8 clients"), (64, "9 to 64 clients"), (10**9, "more clients"))


def by_group(some: Sequence[Ranged], kind_of: Callable[[Outcome], str]) -> dict[str, list[Ranged]]:
    """The outcomes by their class, then by their number of clients."""
    parts: dict[str, list[Ranged]] = {}
    for one in sorted(some, key=lambda one: kind_of(one[0])):
        parts.setdefault(kind_of(one[0]), []).append(one)
    for most, name in _LOADS:
        for one in some:
            least = max((m for m, _ in _LOADS if m < most), default=0)
            if least < (one[0].run.clients or 0) <= most:
                parts.setdefault(name, []).append(one)
    return parts


def coverage_section(rows: Mapping[str, Coverage], samples: int) -> Iterator[str]:
    """The part of the report: how many measured values lie within their ranges."""
    nominal = (samples - 1) / (samples + 1)
    yield f"## Ranges of {samples} samples from the errors"
    yield ""
    if not rows:
        yield "No serving run that the fit did not see could be sampled."
        yield ""
        return
    yield "Share of runs that the fit did not see whose measured value is within the range;"
    yield f"{100 * nominal:.0f} % if errors are drawn as they are (docs/uncertainty.md)."
    yield ""
    yield "| runs | number | TPOT | throughput | TTFT |"
    yield "|---|---|---|---|---|"
    for name, found in rows.items():
        cells = " | ".join(
            f"{100 * found.inside[metric]:.0f} %" if metric in found.inside else "–"
            for metric in METRICS
        )
        yield f"| {name} | {found.runs} | {cells} |"
    yield ""
