"""One replica as a plain loop over instants, written from the definitions and not from the engine.

It shares nothing with the engine but the cost and draw of an iteration. Whatever it keeps it finds
by searching lists, so that each rule is one line that can be read beside its sentence. Batching is
chunked prefill, routing trivial, queues unlimited.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.perf.step import Batch, ReplicaModel, windowed_pairs

CLOCK, GIVING_UP, ARRIVAL, BOUNDARY = range(4)  # the order of events at equal times


@dataclass(eq=False)
class Job:
    """A request."""

    number: int
    prompt: int
    output: int
    priority: int
    order: int = 0  # of arrival here
    admitted_s: float | None = None
    first_s: float | None = None
    last_s: float = 0.0  # when its last token came
    context: int = 0  # tokens in KV
    target: int = 0  # tokens in KV at the end of its prefill
    delivered: int = 0
    preemptions: int = 0
    blocks: int = 0
    ended: bool = False


def blocks_of(tokens: int) -> int:
    """Blocks of 16 tokens."""
    return math.ceil(tokens / 16)


def place_of(context: int, chunk: int, window: int) -> str:
    """Where a chunk lies: the growth of its windowed attention is another in each place."""
    if not window or context >= window:
        return "beyond"
    return "inside" if context + chunk <= window else "across"


@dataclass
class OneReplica:
    """``rows`` of requests, ``clocks`` of (time, level); see ``serve``."""

    model: ReplicaModel
    rows: Sequence[dict[str, Any]]
    clocks: Sequence[tuple[float, int]]
    timeout_s: float
    duration_s: float
    max_sequences: int
    max_batch_tokens: int
    events: list[tuple[float, int, int, Any]] = field(default_factory=list)
    waiting: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)  # in order of admission
    chunks: list[tuple[Job, int]] = field(default_factory=list)
    served: list[dict[str, Any]] = field(default_factory=list)
    gaps: Counter[float] = field(default_factory=Counter)
    level: int = 0
    arrived: int = 0
    energy_mj: float = 0.0

    def serve(self, horizon_s: float) -> None:
        """Fill ``served``, ``gaps`` and ``energy_mj`` with what happens before ``horizon_s``."""
        self.free = self.model.kv_blocks
        self.plan: Any = None  # None: idle
        self.anchor_s = self.t1 = self.d = self.start_s = 0.0
        self.n = 0  # boundaries since the anchor
        self.own_run = False  # the clock changed during this iteration
        self.boundary_s = math.inf
        self.draw_mw, self.drawn_s = self.model.power[0].idle_mw, 0.0
        for number, row in enumerate(self.rows):
            if "after_request" not in row:
                self.events.append((row["arrival_s"], ARRIVAL, number, None))
        for number, (time_s, level) in enumerate(self.clocks):
            self.events.append((time_s, CLOCK, number, level))
        while True:
            pending = [event[:3] for event in self.events] + [(self.boundary_s, BOUNDARY, 0)]
            time_s, kind, number = min(pending)
            if time_s >= horizon_s:
                break
            if kind == BOUNDARY:
                self.boundary(time_s)
                continue
            place = pending.index((time_s, kind, number))
            what = self.events.pop(place)[3]
            if kind == CLOCK:
                self.clock(what, time_s)
            elif kind == ARRIVAL:
                self.arrive(number, time_s)
            else:
                self.give_up(*what, time_s)
        for job in sorted(self.waiting + self.running, key=lambda job: job.number):
            if not job.ended:
                self.end(job, "unfinished", None)
        self.draw(0, horizon_s)

    # ---- arrivals and ends ---------------------------------------------------------------

    def arrive(self, number: int, time_s: float) -> None:
        row = self.rows[number]
        job = Job(number, row["input_tokens"], row["output_tokens"], row["priority"])
        if blocks_of(max(job.prompt, job.prompt + job.output - 1)) > self.model.kv_blocks:
            self.end(job, "never-fits", time_s)
            return
        job.order, self.arrived = self.arrived, self.arrived + 1
        self.waiting.append(job)
        # The timeout of a request comes before its cancellation.
        for place, (after_s, outcome) in enumerate(
            ((self.timeout_s, "timed-out"), (row["cancel_after_s"], "cancelled"))
        ):
            if after_s < math.inf:
                at_s, order = time_s + after_s, 2 * number + place
                self.events.append((at_s, GIVING_UP, order, (job, outcome)))
        if self.plan is None:
            self.boundary_s = time_s

    def give_up(self, job: Job, outcome: str, time_s: float) -> None:
        if job.ended or (outcome == "timed-out" and job.admitted_s is not None):
            return
        if job in self.waiting:
            self.waiting.remove(job)
        self.end(job, outcome, time_s)

    def end(self, job: Job, outcome: str, time_s: float | None) -> None:
        job.ended = True
        self.served.append(
            {
                "request_id": job.number, "outcome": outcome, "admitted_s": job.admitted_s,
                "first_token_s": job.first_s, "end_s": time_s, "preemptions": job.preemptions,
                "delivered_tokens": job.delivered,
            }
        )  # fmt: skip
        for number, row in enumerate(self.rows):
            if row.get("after_request") == job.number and time_s is not None:
                at_s = time_s + row["think_s"]
                if at_s < self.duration_s:
                    self.events.append((at_s, ARRIVAL, number, None))

    def leave(self, job: Job) -> None:
        self.running.remove(job)
        self.free += job.blocks
        job.blocks = 0

    # ---- one boundary --------------------------------------------------------------------

    def boundary(self, time_s: float) -> None:
        if self.plan is not None:
            self.end_iteration(time_s)
        preempted = self.take_blocks()
        left = self.max_batch_tokens - len(self.decoding())
        self.chunks = [
            (job, min(job.target - job.context, left))
            for job in self.running
            if job.context < job.target
        ]
        left -= sum(chunk for _, chunk in self.chunks)
        if not preempted:
            self.admit(left, time_s)
        self.start(time_s)

    def decoding(self) -> list[Job]:
        return [job for job in self.running if job.context >= job.target]

    def end_iteration(self, time_s: float) -> None:
        self.n += 1
        for job in [job for job in self.running if job.ended]:
            self.leave(job)
        decoding = self.decoding()
        for job in decoding:
            formula_s = self.t1 + (self.n - 1) * self.d
            self.gaps[time_s - self.start_s if self.own_run else formula_s] += 1
            job.context += 1
            job.delivered, job.last_s = job.delivered + 1, time_s
        for job in decoding:
            if job.delivered == job.output:
                self.leave(job)
                self.end(job, "completed", time_s)
        for job, chunk in self.chunks:
            job.context += chunk
            if job.context == job.target and not job.ended:
                self.end_prefill(job, time_s)

    def end_prefill(self, job: Job, time_s: float) -> None:
        if job.first_s is None:
            job.first_s = time_s
        elif job.delivered:
            self.gaps[time_s - job.last_s] += 1
        if job.output:
            job.delivered, job.last_s = job.delivered + 1, time_s
        if job.delivered == job.output:
            self.leave(job)
            self.end(job, "completed", time_s)

    def take_blocks(self) -> bool:
        preempted = False
        while len(at_edge := [j for j in self.decoding() if j.context % 16 == 0]) > self.free:
            job = self.running[-1]
            self.leave(job)
            job.context, job.preemptions, preempted = 0, job.preemptions + 1, True
            self.waiting.append(job)
        for job in at_edge:
            job.blocks, self.free = job.blocks + 1, self.free - 1
        return preempted

    def admit(self, left: int, time_s: float) -> None:
        self.waiting.sort(key=lambda job: (job.priority, job.order))
        while self.waiting and left and len(self.running) < self.max_sequences:
            job = self.waiting[0]
            job.target = job.prompt + job.delivered
            if blocks_of(job.target) > self.free:
                break
            self.running.append(self.waiting.pop(0))
            job.blocks = blocks_of(job.target)
            self.free -= job.blocks
            job.admitted_s = time_s if job.admitted_s is None else job.admitted_s
            self.chunks.append((job, min(job.target, left)))
            left -= self.chunks[-1][1]

    # ---- time and draw -------------------------------------------------------------------

    def start(self, time_s: float) -> None:
        """The planned iteration starts; another plan than before sets the anchor."""
        if not self.running:
            self.plan, self.boundary_s = None, math.inf
            self.draw(self.model.power[self.level].idle_mw, time_s)
            return
        self.start_s, self.own_run = time_s, False
        cost = self.model.cost[self.level]
        decoding, window = self.decoding(), cost.window
        growing = sum(job.context + 1 < window for job in decoding)
        places = [place_of(job.context, chunk, window) for job, chunk in self.chunks]
        plan = (decoding, list(self.chunks), growing, places)
        if plan != self.plan:
            self.plan, self.anchor_s, self.n = plan, time_s, 0
            self.t1 = cost.iteration_s(self.batch())
            self.d = cost.per_kv_token_s * len(decoding) + cost.per_windowed_kv_token_s * growing
            if len(self.chunks) == 1:
                square = 2 * self.chunks[0][1] ** 2
                self.d += cost.per_prefill_pair_s * square
                if places == ["inside"]:
                    self.d += cost.per_windowed_prefill_pair_s * square
            self.draw_batch(time_s)
        n = self.n + 1
        self.boundary_s = self.anchor_s + (n * self.t1 + self.d * (0.5 * n * (n - 1)))

    def batch(self, chunks: bool = True) -> Batch:
        """The integers of the iteration, or of its decodes alone."""
        decoding, window = self.decoding(), self.model.cost[0].window
        prefill = self.chunks if chunks else []
        return Batch(
            len(decoding) + sum(chunk for _, chunk in prefill),
            len(decoding),
            sum(job.context + 1 for job in decoding),
            sum(min(job.context + 1, window) for job in decoding),
            sum(chunk * (2 * job.context + chunk) for job, chunk in prefill),
            sum(windowed_pairs(job.context, chunk, window) for job, chunk in prefill),
        )

    def clock(self, level: int, time_s: float) -> None:
        """What remains of the iteration is rescaled and becomes a run of its own."""
        if level == self.level:
            return
        before, self.level = self.model.cost[self.level], level
        if self.plan is None:
            self.draw(self.model.power[level].idle_mw, time_s)
            return
        ratio = self.model.cost[level].iteration_s(self.batch()) / before.iteration_s(self.batch())
        self.plan, self.own_run = (), True
        self.anchor_s, self.t1, self.d, self.n = time_s, (self.boundary_s - time_s) * ratio, 0.0, 0
        self.boundary_s = self.anchor_s + self.t1
        self.draw_batch(time_s)

    def draw_batch(self, time_s: float) -> None:
        cost, power = self.model.cost[self.level], self.model.power[self.level]
        alone = self.batch(chunks=False)
        decode_s = cost.iteration_s(alone) if alone.decodes else 0.0
        batch = self.batch()
        self.draw(power.draw_mw(batch, decode_s, cost.iteration_s(batch)), time_s)

    def draw(self, draw_mw: int, time_s: float) -> None:
        self.energy_mj += self.draw_mw * (time_s - self.drawn_s)
        self.draw_mw, self.drawn_s = draw_mw, time_s
