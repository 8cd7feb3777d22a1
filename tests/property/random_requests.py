"""Requests for random worlds: bursts, followers, closed loops, time-outs, cancellations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from sim.workload.lengths import Lengths
from sim.workload.types import OPEN, RequestChunk, RequestSource
from tests.engine_world import Given

#: (input tokens, output tokens) to choose from. A block holds 16 tokens, so edges lie there.
PROFILES: dict[str, tuple[Sequence[int], Sequence[int]]] = {
    "short": ((1, 2, 3, 7, 12), (0, 1, 1, 2, 3, 5)),
    "edges": ((1, 14, 15, 16, 17, 31, 32, 33, 47), (1, 2, 16, 17, 18, 33, 34)),
    "prompts": ((20, 64, 100, 128, 199, 300), (1, 2, 9, 20)),
    "outputs": ((1, 8, 15, 16, 30), (24, 40, 64, 65, 90, 150)),
    "alike": ((14, 16), (33, 48)),
    "mixed": ((1, 15, 16, 47, 100, 240), (0, 1, 2, 17, 33, 60, 120)),
}
#: Shorter than the distance to the next float, for any arrival after time 0.
TINY_S = 1e-18
#: Classes that the requests of a workload may have; 0 is served first, 7 is the last there is.
PRIORITIES = ((0,), (0, 1), (0, 1, 2), (0, 3, 7))
THINK_S = (0.0, 0.0, 0.0, 0.0625, 0.25, 0.3)
LOADS = ((1, 3), (4, 8), (8, 16), (16, 30), (16, 30))  # requests of a workload


@dataclass(frozen=True)
class Beats:
    """The times at which the requests of all workloads of a world come, and its grid."""

    grid_s: float
    duration_s: float
    times_s: tuple[float, ...]


def random_beats(rng: Random, duration_s: float) -> Beats:
    """A few instants on a grid; the grid is dyadic or not."""
    grid_s = rng.choice([0.25, 0.25, 0.0625, 1.0, 0.1])
    ticks = int(duration_s / grid_s)
    count = rng.choice([1, 4, 12])
    return Beats(grid_s, duration_s, tuple(rng.randrange(ticks) * grid_s for _ in range(count)))


def random_time(rng: Random, beats: Beats) -> float:
    """Mostly on a beat, else on the grid, one float beside it, or anywhere; before the end."""
    kind = rng.randrange(8)
    if kind < 4:
        return rng.choice(beats.times_s)
    tick = rng.randrange(int(beats.duration_s / beats.grid_s)) * beats.grid_s
    if kind < 6:
        return tick
    if kind == 6:
        return max(0.0, math.nextafter(tick, rng.choice([-math.inf, math.inf])))
    return rng.randrange(1 << 20) * 2.0**-20 * beats.duration_s


@dataclass(frozen=True)
class Impatience:
    """What the rows of a workload choose from when they are cancelled; inf = never."""

    cancel_s: tuple[float, ...]


def random_impatience(rng: Random, timeout_s: float) -> Impatience:
    """Patient workloads, hasty ones, and some that give up as the server does."""
    patient = (math.inf,)
    if rng.randrange(2):
        return Impatience(patient)
    some = rng.sample((0.0, TINY_S, 0.0625, 0.25, 0.37, 1.0, 1.5, 2.5, timeout_s), 4)
    return Impatience(patient * rng.choice([3, 9, 27]) + tuple(some))


def random_row(
    rng: Random, profile: str, impatience: Impatience, priorities: Sequence[int]
) -> dict[str, Any]:
    """A request without its arrival."""
    inputs, outputs = PROFILES[profile]
    return {
        "input_tokens": rng.choice(inputs),
        "output_tokens": rng.choice(outputs),
        "priority": rng.choice(priorities),
        "cancel_after_s": rng.choice(impatience.cancel_s),
    }


def open_rows(
    rng: Random, beats: Beats, profile: str, impatience: Impatience, priorities: Sequence[int]
) -> list[dict[str, Any]]:
    """Open requests in order of arrival; in some workloads others follow them, in chains too."""
    low, high = rng.choice(LOADS)
    times = sorted(random_time(rng, beats) for _ in range(rng.randint(low, high)))
    follow = rng.choice([0, 0, 2, 5])  # of ten rows
    rows: list[dict[str, Any]] = []
    for number, time_s in enumerate(times):
        row = random_row(rng, profile, impatience, priorities)
        if number and rng.randrange(10) < follow:
            nearby = max(0, number - rng.choice([1, 3, 40]))
            row |= {
                "after_request": rng.randint(nearby, number - 1),
                "think_s": rng.choice(THINK_S),
            }
        else:
            row["arrival_s"] = time_s
        if len(times) % 3:  # else nothing is known of sessions
            row["session"] = number * 5 // 3 % 7 - 1
        rows.append(row)
    return rows


def closed_rows(
    rng: Random, profile: str, impatience: Impatience, priorities: Sequence[int]
) -> tuple[list[dict[str, Any]], bool]:
    """Rows of a closed loop that ends, and whether each row is followed by one at most."""
    clients = rng.randint(1, 6)
    one_each = rng.randrange(3) > 0
    start_s = rng.choice([0.0, 0.0, 0.25])
    rows: list[dict[str, Any]] = []
    for number in range(clients * rng.choice([1, 3, 8])):
        row = random_row(rng, profile, impatience, priorities)
        if number < clients:
            row["arrival_s"] = start_s * (number // 2)
        else:
            after = number - clients if one_each else rng.randrange(number)
            row |= {"after_request": after, "think_s": rng.choice(THINK_S)}
        rows.append(row)
    return rows, one_each


@dataclass(frozen=True)
class InPieces:
    """A source whose chunks come in pieces of ``rows`` rows, cut where its contract lets them."""

    source: RequestSource
    rows: int

    @property
    def closed(self) -> bool:
        """As the source."""
        return self.source.closed

    @property
    def notes(self) -> tuple[str, ...]:
        """As the source."""
        return self.source.notes

    def chunks(self) -> Iterator[RequestChunk]:
        """Pieces of each chunk; a row of an open source stays with the one it follows."""
        first = 0
        for chunk in self.source.chunks():
            start = 0
            while start < len(chunk):
                end = min(start + self.rows, len(chunk))
                if not self.closed:
                    end = self._whole(chunk, first, end)
                yield piece(chunk, start, end)
                start = end
            first += len(chunk)

    def _whole(self, chunk: RequestChunk, first: int, end: int) -> int:
        """The next cut from ``end`` on that parts no row from the one it follows."""
        while end < len(chunk):
            follows = chunk.after_request[end:]
            follows = follows[follows != OPEN] - first
            if not len(follows) or follows.min() >= end:
                break
            end += 1
        return end


def piece(chunk: RequestChunk, start: int, end: int) -> RequestChunk:
    """Rows ``start`` to ``end`` of a chunk."""
    part = slice(start, end)
    return RequestChunk(
        chunk.arrival_s[part], chunk.input_tokens[part], chunk.output_tokens[part],
        chunk.priority[part], chunk.after_request[part], chunk.think_s[part],
        chunk.cancel_after_s[part],
        session=None if chunk.session is None else chunk.session[part],
    )  # fmt: skip


def in_pieces(rng: Random, source: Given, one_each: bool = True) -> RequestSource:
    """``source`` in one chunk or in several."""
    rows = rng.choice([0, 0, 1, 3, 16])
    if not rows or (source.closed and not one_each):
        return source
    return InPieces(source, rows)


@dataclass(frozen=True)
class CycledLengths:
    """A few pairs of lengths, one after another for ever."""

    pairs: tuple[tuple[int, int], ...]

    def draw(self, rows: np.ndarray) -> Lengths:
        """The lengths of [n] rows."""
        inputs, outputs = np.array(self.pairs, dtype=np.int64).T
        return inputs[rows % len(self.pairs)], outputs[rows % len(self.pairs)]
