"""How residuals of held-out runs hang together, for the record of ``fit_stacks.py``.

A residual is the logarithm of measured over predicted: of TPOT in every run ("decode"), of TTFT in
runs of at most ``FEW_CLIENTS`` ("prefill"), where it is request, prefill and a step rather than a
queue. Hardly any stack was measured with fewer than 8 clients, and their prompts of the opening
burst do wait for each other.

A residual is taken as the sum of three independent parts: one common to all runs of a stack, one
common to all concurrencies of a configuration, the rest of the run. Their variances are read off
differences, as a variogram: of two runs of one configuration (2 run²), of two configurations of one
stack (2 (run² + configuration²)), of two stacks (2 (run² + configuration² + stack²)). Every
configuration, stack, pair of stacks counts the same. Residuals have heavy tails, so a variance is
that of the normal with the same median of absolute differences; and the three are then scaled
together until a normal of mean zero has the measured 90 % quantile of absolute residuals. The mean
is part of that quantile: it is not removed, but said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from sim.perf.expected import LEAST_RUNS
from sim.validate.serving import Outcome

Floats = NDArray[np.float64]
#: Clients of a run up to which its TTFT is a prefill more than a queue.
FEW_CLIENTS = 8
NOMINAL = (0.5, 0.8, 0.9)
#: Random halves of the configurations by which the spread of one fit is checked.
SPLITS = 10
NORMAL = NormalDist()
#: Median of absolute differences of two standard normals, and their 90 % quantile of |x|.
MEDIAN_DIFFERENCE = NORMAL.inv_cdf(0.75) * np.sqrt(2.0)
Q90 = NORMAL.inv_cdf(0.95)


@dataclass(frozen=True)
class Sample:
    """Residuals of held-out runs, [n] each.

    ``fits``: which fit each was held out of; ``values``: NaN where a run has none.
    """

    values: Floats
    fits: NDArray[np.str_]
    stacks: NDArray[np.str_]
    configurations: NDArray[np.str_]

    def take(self, mask: NDArray[np.bool_]) -> Sample:
        """Some of them."""
        return Sample(
            self.values[mask], self.fits[mask], self.stacks[mask], self.configurations[mask]
        )

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Held:
    """Outcomes by the fit that they were held out of."""

    parts: dict[str, list[Outcome]]

    @property
    def outcomes(self) -> list[Outcome]:
        """All of them."""
        return [one for part in self.parts.values() for one in part]

    @property
    def decode(self) -> Sample:
        """Of TPOT."""
        return self._sample(0, None)

    @property
    def prefill(self) -> Sample:
        """Of TTFT in runs of few clients."""
        return self._sample(2, FEW_CLIENTS)

    def of_stack(self, stack: str) -> Held:
        """Those of one stack."""
        return Held(
            {
                name: [one for one in part if one.run.stack == stack]
                for name, part in self.parts.items()
            }
        )

    def pairs(self) -> Floats:
        """[n, 2]: both residuals of each run that has both."""
        both = [
            (_residual(one, 0), _residual(one, 2))
            for part in self.parts.values()
            for one in part
            if (one.run.clients or 0) <= FEW_CLIENTS
        ]
        return np.array(both).reshape(-1, 2)

    def _sample(self, metric: int, clients: int | None) -> Sample:
        rows = [
            (_residual(one, metric), name, one.run.stack, one.run.configuration)
            for name, part in self.parts.items()
            for one in part
            if clients is None or (one.run.clients or 0) <= clients
        ]
        values, fits, stacks, configurations = zip(*rows, strict=True) if rows else ((),) * 4
        return Sample(
            np.array(values, dtype=float), np.array(fits, dtype=str), np.array(stacks, dtype=str),
            np.array(configurations, dtype=str),
        )  # fmt: skip


def _residual(one: Outcome, metric: int) -> float:
    """Measured over predicted, as a logarithm.

    Raises:
        ValueError: nothing was measured or predicted. The silicon table has both in every run.
    """
    predicted, measured = one.predicted[metric], one.measured[metric]
    if predicted is None or measured is None:
        raise ValueError(f"{one.run.place}: no residual of a run without {metric}")
    return float(np.log(measured / predicted))


def components(some: Sample) -> dict[str, float]:
    """Standard deviations of the parts ``stack``, ``configuration``, ``run``.

    What no pair of runs tells apart is said of the larger unit: a sample of one run a configuration
    has no run of its own, one of one stack no stack.
    """
    run = _variance(_differences(some, "run"))
    inner = _variance(_differences(some, "configuration"))
    outer = _variance(_differences(some, "stack"))
    parts = {
        "stack": max(0.0, outer - max(inner, run)), "configuration": max(0.0, inner - run),
        "run": run,
    }  # fmt: skip
    total = sum(parts.values())
    wanted = float(np.quantile(abs(some.values), 0.9)) / Q90
    scale = wanted / np.sqrt(total) if total else 0.0
    return {name: float(scale * np.sqrt(part)) for name, part in parts.items()}


def _differences(some: Sample, unit: str) -> list[Floats]:
    """By group, absolute differences of pairs that first share the unit above ``unit``.

    Of "run": pairs within a configuration and fit; "configuration": of one stack but different
    configurations; "stack": of different stacks.
    """
    found = []
    if unit == "stack":
        names = sorted(set(some.stacks))
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                a, b = some.values[some.stacks == one], some.values[some.stacks == other]
                found.append(abs(a[:, None] - b).ravel())
        return found
    keys = some.stacks if unit == "configuration" else np.char.add(some.fits, some.configurations)
    for key in sorted(set(keys)):
        part = some.take(keys == key)
        i, j = np.triu_indices(len(part), 1)
        if unit == "configuration":
            apart = part.configurations[i] != part.configurations[j]
            i, j = i[apart], j[apart]
        if len(i):
            found.append(abs(part.values[i] - part.values[j]))
    return found


def _variance(groups: list[Floats]) -> float:
    """Of a normal whose differences have this median; each group counts once."""
    if not groups:
        return 0.0
    values = np.concatenate(groups)
    weights = np.concatenate([np.full(len(group), 1 / len(group)) for group in groups])
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    middle = values[order][np.searchsorted(below, below[-1] / 2)]
    return float(middle / MEDIAN_DIFFERENCE) ** 2


def total(parts: Mapping[str, float]) -> float:
    """Standard deviation of the sum of independent parts."""
    return float(np.sqrt(sum(value**2 for value in parts.values())))


def correlation(pairs: Floats) -> float:
    """Pearson's of the normal with the same Kendall's tau (which heavy tails do not move)."""
    return float(np.sin(np.pi / 2 * kendalltau(pairs[:, 0], pairs[:, 1]).statistic))


def coverage(some: Sample, whole_fits: bool) -> dict[float, float]:
    """Nominal → measured share of residuals in the central interval of a normal of others' spread.

    ``whole_fits``: the others are those of the other fits (what was left out whole judges what it
    did not take part in); else those of the other half of the configurations, both ways.
    """
    inside = dict.fromkeys(NOMINAL, 0)
    seen = 0
    for mine in _judges(some, whole_fits):
        if not mine.any() or mine.all():
            continue
        width = total(components(some.take(~mine)))
        values = abs(some.values[mine])
        seen += len(values)
        for share in NOMINAL:
            inside[share] += int((values <= NORMAL.inv_cdf(0.5 + share / 2) * width).sum())
    return {share: count / seen for share, count in inside.items()}


def _judges(some: Sample, whole_fits: bool) -> Iterator[NDArray[np.bool_]]:
    if whole_fits:
        yield from (some.fits == name for name in sorted(set(some.fits)))
        return
    names = sorted(set(some.configurations))
    for seed in range(SPLITS):
        half = np.random.default_rng(seed).permutation(names)[::2]
        mine = np.isin(some.configurations, half)
        yield from (mine, ~mine)


def record(
    held: Held, whole_fits: bool, instead: Mapping[str, object] | None = None
) -> dict[str, object]:
    """What the data file says of these residuals.

    ``instead``: the record of the class, whose prefill and correlation stand in for those of a
    stack with fewer than ``LEAST_RUNS`` runs of few clients.
    """
    samples = {"decode": held.decode, "prefill": held.prefill}
    found: dict[str, object] = {"runs": len(held.decode), "prefill_runs": len(held.prefill)}
    borrowed = instead is not None and len(held.prefill) < LEAST_RUNS
    if borrowed:
        del samples["prefill"]
    for name, sample in samples.items():
        found[name] = {part: round(sd, 4) for part, sd in components(sample).items()}
    if borrowed:
        assert instead is not None
        found |= {"prefill": instead["prefill"], "correlation": instead["correlation"]}
    else:
        found["correlation"] = round(correlation(held.pairs()), 3)
    found["bias"] = {
        name: round(float(np.median(sample.values)), 4) for name, sample in samples.items()
    }
    found["coverage"] = {
        name: {share: round(part, 3) for share, part in coverage(sample, whole_fits).items()}
        for name, sample in samples.items()
    }
    return found
