"""Synthetic workloads: an arrival process and lengths drawn by row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import BuildError, did_you_mean
from sim.rng import generator
from sim.workload import arrivals as processes
from sim.workload.columns import Columns
from sim.workload.copies import Copies, copies_for
from sim.workload.fitted import fitted_source
from sim.workload.lengths import FixedLengths, LengthSource, TableLengths
from sim.workload.plan import Synthetic, Workload
from sim.workload.segments import on_off
from sim.workload.types import RequestChunk


@dataclass(frozen=True)
class SyntheticSource:
    """An arrival process with lengths drawn by row."""

    columns: Columns
    lengths: LengthSource
    synthetic: Synthetic
    rate_per_s: float
    seed: int
    stream: str
    duration_s: float
    copies: int = 1  # of a fitted source's own process
    closed: bool = False
    notes: tuple[str, ...] = ()

    def chunks(self) -> Iterator[RequestChunk]:
        """Chunks until the duration; called again, the same ones."""
        first = 0
        for times in self._arrivals():
            rows = np.arange(first, first + len(times), dtype=np.int64)
            yield self.columns.chunk(first, times, self.lengths.draw(rows))
            first += len(times)

    def _arrivals(self) -> Iterator[NDArray[np.float64]]:
        how, rate, profile = self.synthetic.arrivals, self.rate_per_s, self.synthetic.profile
        rng = generator(self.seed, f"{self.stream}/arrivals")
        gaps = processes.exponential_gaps(rng)
        if how["kind"] == "source":
            pieces = self._superposed(profile)
        elif how["kind"] == "on-off":
            state = generator(self.seed, f"{self.stream}/arrivals/0")
            segments = on_off(state, float(how["on_s"]), float(how["off_s"]))
            pieces = processes.modulated(segments, rate, profile)
        else:
            pieces = processes.steady(rate, profile)
            if how["kind"] == "gamma":
                gaps = processes.gamma_gaps(rng, float(how["cv"]))
        return processes.arrivals(pieces, gaps, self.duration_s)

    def _superposed(self, profile: tuple[tuple[float, float], ...]) -> Iterator[processes.Pieces]:
        source = fitted_source(self.synthetic.lengths)
        stream = f"{self.stream}/arrivals"
        copies = Copies(self.copies, self.seed, stream, source.states, source.visits)
        return processes.superposed(copies, source.rate_per_s, self.rate_per_s, profile)


def copies_of(synthetic: Synthetic, rate_per_s: float, path: str) -> int:
    """Copies of a source's own process that its highest rate of the day needs; else 1.

    Raises:
        BuildError: more than a run holds.
    """
    if synthetic.arrivals["kind"] != "source":
        return 1
    own = fitted_source(synthetic.lengths).rate_per_s
    highest = max((multiple for _, multiple in synthetic.profile), default=1.0)
    at = "" if highest == 1.0 else " at the profile's peak"
    return copies_for(rate_per_s * highest / own, own, path, f"{synthetic.lengths}'s own", at=at)


def length_source(synthetic: Synthetic, workload: Workload, seed: int, path: str) -> LengthSource:
    """The lengths a synthetic workload asks for; raises BuildError or UnknownName."""
    if synthetic.lengths != "fixed":
        return TableLengths(fitted_source(synthetic.lengths).lengths, seed, workload.name)
    inputs, outputs = synthetic.input_tokens, synthetic.output_tokens
    if inputs is None or inputs < 1:
        raise BuildError(f"{path}.input_tokens", f"fixed lengths need at least 1, not {inputs}")
    if workload.kind == "embedding":
        if outputs:
            message = f"an embedding request generates nothing, so this must be 0, not {outputs}"
            raise BuildError(f"{path}.output_tokens", message)
        return FixedLengths(inputs, 0)
    if outputs is None or outputs < 1:
        message = f"fixed lengths need at least 1, not {outputs}; only `kind: embedding` has 0"
        raise BuildError(f"{path}.output_tokens", message)
    return FixedLengths(inputs, outputs)


def rate_of(synthetic: Synthetic, workload: Workload, path: str) -> float:
    """The wanted mean rate, else the fitted source's own; raises BuildError where there is none."""
    rate = workload.rate_per_s
    if rate is None:
        if synthetic.lengths == "fixed":
            raise BuildError(f"{path}.rate", "requests of fixed length need a rate, such as '5 /s'")
        return fitted_source(synthetic.lengths).rate_per_s
    if not (rate > 0 and math.isfinite(rate)):
        raise BuildError(f"{path}.rate", f"must be above 0, not {rate:g} /s")
    return rate


def check_process(synthetic: Synthetic, path: str) -> None:
    """Refuse an arrival process or a profile that makes no sense; raises BuildError."""
    how = synthetic.arrivals
    kind = how["kind"]
    where = f"{path}.arrivals"
    needs = {"source": (), "poisson": (), "gamma": ("cv",), "on-off": ("on_s", "off_s")}
    if kind not in needs:
        raise BuildError(f"{where}.kind", f"unknown process {kind!r}{did_you_mean(kind, needs)}")
    if kind == "source" and synthetic.lengths == "fixed":
        message = "requests of fixed length have no process of their own; use 'poisson', "
        raise BuildError(f"{where}.kind", f"{message}'gamma' or 'on-off'")
    for key in needs[kind]:
        if key not in how:
            raise BuildError(where, f"process {kind!r} needs {' and '.join(needs[kind])}")
        value = float(how[key])
        if not (value > 0 and math.isfinite(value)):
            raise BuildError(f"{where}.{key}", f"must be above 0, not {value:g}")
    times = [time for time, _ in synthetic.profile]
    inside = all(0 <= time < processes.DAY_S for time in times)
    if times != sorted(set(times)) or not inside:
        message = "times of day must ascend from 0 h to below 24 h"
        raise BuildError(f"{path}.profile", message)
    multiples = [multiple for _, multiple in synthetic.profile]
    if multiples and not (min(multiples) >= 0 and 0 < max(multiples) < math.inf):
        raise BuildError(f"{path}.profile", "multiples must be 0 or more, and one above 0")
