"""One replica in a closed loop of requests: the engine's iteration rules, exactly, in a loop.

``clients`` clients each keep one request in flight. The rules are those of
the serving plane: decodes first, then prefill in arrival order chunked to what is left of the
token budget; prompt blocks reserved at admission; a decode takes a block where its context is a
multiple of the block; the last admitted is preempted and recomputed when none is free; a request
sent at a boundary is seen by the next one. While the batch does not change, iterations are
skipped in closed form: T(n) = anchor + n*t1 + d*n*(n - 1)/2.

All decoding sequences advance together, so each is kept as its context minus the number of decode
steps so far (its ``base``), and the sums over them move by multiplication, not by iteration.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.errors import RackplanError
from sim.perf.step import BLOCK_TOKENS, Batch, ReplicaModel, windowed_pairs


@dataclass(slots=True)
class Sequence:
    """One request at the replica.

    Its prefill ends at ``target`` tokens of context; at ``last`` it has delivered its last token.
    """

    sent_s: float
    target: int
    last: int
    output_tokens: int
    order: int = -1  # of admission
    prefilled: int = 0
    base: int = 0  # context minus the loop's decode steps, once it decodes
    first_s: float | None = None


@dataclass(frozen=True)
class Record:
    """One finished request: times in simulated seconds."""

    sent_s: float
    first_s: float
    end_s: float
    output_tokens: int


@dataclass(frozen=True)
class Step:
    """A stretch of equal iterations and the draw of one GPU during it."""

    start_s: float
    end_s: float
    draw_w: float


@dataclass
class Decodes:
    """The decoding sequences and their sums; ``steps`` counts the decode steps of the loop."""

    window: int
    steps: int = 0
    kv_tokens: int = 0  # sum of contexts
    running: dict[int, Sequence] = field(default_factory=dict)  # by admission, ascending
    ending: list[tuple[int, int]] = field(default_factory=list)  # heap of (step, admission)
    narrow: dict[int, Sequence] = field(default_factory=dict)  # not yet a whole window
    residues: list[int] = field(default_factory=lambda: [0] * BLOCK_TOKENS)

    def __len__(self) -> int:
        return len(self.running)

    def context(self, sequence: Sequence) -> int:
        """Tokens in KV now."""
        return sequence.base + self.steps

    def join(self, sequence: Sequence) -> None:
        """Adds a sequence whose prefill is complete."""
        sequence.base = sequence.target - self.steps
        self.running[sequence.order] = sequence
        self.kv_tokens += sequence.target
        self.residues[sequence.base % BLOCK_TOKENS] += 1
        heapq.heappush(self.ending, (sequence.last - sequence.base, sequence.order))
        if sequence.target + 1 < self.window:
            self.narrow[sequence.order] = sequence

    def leave(self, order: int) -> Sequence:
        """Takes a sequence out, finished or preempted."""
        sequence = self.running.pop(order)
        self.kv_tokens -= self.context(sequence)
        self.residues[sequence.base % BLOCK_TOKENS] -= 1
        self.narrow.pop(order, None)
        return sequence

    def next_end(self) -> int:
        """The step at which the next sequence ends; drops entries of preempted ones."""
        while True:
            step, order = self.ending[0]
            if order in self.running:
                return step
            heapq.heappop(self.ending)

    def ended(self) -> list[Sequence]:
        """Takes out those that have delivered their last token, in admission order."""
        done: list[Sequence] = []
        while self.running and self.next_end() <= self.steps:
            done.append(self.leave(heapq.heappop(self.ending)[1]))
        return done

    def new_blocks(self, count: int) -> int:
        """Blocks that the next ``count`` steps take together."""
        whole, rest = divmod(count, BLOCK_TOKENS)
        part = sum(self.residues[-(self.steps + j) % BLOCK_TOKENS] for j in range(rest))
        return whole * len(self.running) + part

    def windowed_kv(self) -> int:
        """Sum of what sliding-window layers read: at most a window for each sequence."""
        if not self.window:
            return 0
        full = (len(self.running) - len(self.narrow)) * self.window
        return full + sum(self.context(s) + 1 for s in self.narrow.values())

    def advance(self, count: int) -> None:
        """``count`` decode steps of every sequence."""
        self.steps += count
        self.kv_tokens += count * len(self.running)
        for order in [o for o, s in self.narrow.items() if self.context(s) + 1 >= self.window]:
            del self.narrow[order]


@dataclass
class ClosedLoop:
    """The state of the loop; ``run`` advances it until enough requests have ended."""

    model: ReplicaModel
    lengths: Iterator[tuple[int, int]]  # input and output tokens of the requests in sending order
    clients: int
    max_sequences: int
    max_batch_tokens: int
    delay_s: float = 0.0  # from a client to the replica
    starts_s: tuple[float, ...] = ()  # when each client begins, ascending; empty: all at 0
    now_s: float = 0.0
    preemptions: int = 0
    admitted: int = 0
    replan: bool = False  # the next boundary may admit somebody that this one could not
    waiting: deque[Sequence] = field(default_factory=deque)
    sent: int = 0
    under_way: list[tuple[float, int, Sequence]] = field(default_factory=list)  # heap by arrival
    prefilling: list[Sequence] = field(default_factory=list)  # in admission order
    finished: list[Record] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free = self.model.kv_blocks
        self.cost = self.model.cost[0]
        self.power = self.model.power[0]
        self.decodes = Decodes(self.cost.window)

    def run(self, requests: int) -> None:
        """Starts the clients and runs until ``requests`` requests have ended."""
        for at_s in self.starts_s or (0.0,) * self.clients:
            self.send(at_s)
        self.waiting.extend(self.arrivals(self.now_s))
        while len(self.finished) < requests:
            self.waiting.extend(self.arrivals(self.now_s, before=True))
            chunks = self.plan()
            # What comes at this boundary comes after its plan; an idle replica wakes for it.
            late = self.arrivals(self.now_s)
            self.waiting.extend(late)
            if not chunks and not len(self.decodes):
                if not self.waiting:
                    self.now_s = self.under_way[0][0]
                    self.waiting.extend(self.arrivals(self.now_s))
                chunks = self.plan()
            elif late:
                self.replan = True
            start_s = self.now_s
            draw_mw = self.iterate(chunks)
            self.steps.append(Step(start_s, self.now_s, draw_mw / 1000))
            self.deliver(chunks)

    def arrivals(self, now_s: float, before: bool = False) -> list[Sequence]:
        """Takes out what has come to the replica by now (``before`` now), in order."""
        come: list[Sequence] = []
        while self.under_way:
            at_s = self.under_way[0][0]
            if at_s > now_s or (before and at_s == now_s):
                break
            come.append(heapq.heappop(self.under_way)[2])
        return come

    def send(self, at_s: float) -> None:
        """Puts the next request of a client under way, sent at ``at_s``.

        Raises:
            RackplanError: a request that no empty replica can hold, so that the loop would hang.
        """
        prompt, output = next(self.lengths)
        last = prompt + output - 1
        if blocks_of(last) > self.model.kv_blocks:
            raise RackplanError(
                f"a request of {last} tokens needs {blocks_of(last)} KV blocks of {BLOCK_TOKENS} "
                f"tokens, and the replica has {self.model.kv_blocks}"
            )
        request = Sequence(at_s, prompt, last, output)
        heapq.heappush(self.under_way, (at_s + self.delay_s, self.sent, request))
        self.sent += 1

    def plan(self) -> list[tuple[Sequence, int]]:
        """Room and blocks for the decodes, then the prefill chunks, new admissions included."""
        preempted = self.replan = self.make_room()
        budget = self.max_batch_tokens - len(self.decodes)
        chunks: list[tuple[Sequence, int]] = []
        for sequence in self.prefilling:
            chunk = min(sequence.target - sequence.prefilled, budget)
            chunks.append((sequence, chunk))
            budget -= chunk
        while self.waiting and budget and not preempted:
            head = self.waiting[0]
            running = len(self.decodes) + len(self.prefilling)
            if running >= self.max_sequences or blocks_of(head.target) > self.free:
                break
            self.admit(self.waiting.popleft())
            chunk = min(head.target, budget)
            chunks.append((head, chunk))
            budget -= chunk
        return chunks

    def admit(self, sequence: Sequence) -> None:
        """Reserves the blocks of the whole prompt."""
        self.free -= blocks_of(sequence.target)
        sequence.order = self.admitted
        self.admitted += 1
        self.prefilling.append(sequence)

    def make_room(self) -> bool:
        """Takes the decodes' blocks, preempting the last admitted while there are too few."""
        preempted = False
        while (need := self.decodes.new_blocks(1)) > self.free:
            self.preempt()
            preempted = True
        self.free -= need
        return preempted

    def preempt(self) -> None:
        """Sends the last admitted back to the head of the queue, to be computed again."""
        if self.prefilling:  # admitted after every decode
            victim = self.prefilling.pop()
            self.free += blocks_of(victim.target)
        else:
            victim = self.decodes.leave(next(reversed(self.decodes.running)))
            context = self.decodes.context(victim)
            self.free += blocks_of(context)
            victim.target = context + 1  # prompt and every token delivered so far
        victim.prefilled = 0
        self.waiting.appendleft(victim)
        self.preemptions += 1

    def iterate(self, chunks: list[tuple[Sequence, int]]) -> int:
        """Advances over one iteration, or as many as change nothing; returns its draw in mW."""
        batch = self.batch(chunks)
        total_s = self.cost.iteration_s(batch)
        if chunks:
            decode_s = self.cost.iteration_s(self.batch([])) if len(self.decodes) else 0.0
            self.now_s += total_s
            self.decodes.advance(1)
            return self.power.draw_mw(batch, decode_s, total_s)
        growth = self.cost.per_kv_token_s * batch.decodes
        growth += self.cost.per_windowed_kv_token_s * len(self.decodes.narrow)
        count = self.until_arrival(self.leap(), total_s, growth)
        self.now_s += count * total_s + growth * (0.5 * count * (count - 1))
        # The first step's blocks are taken already.
        self.free -= self.decodes.new_blocks(count) - self.decodes.new_blocks(1)
        self.decodes.advance(count)
        return self.power.decode_draw_mw(batch.decodes, batch.kv_tokens)

    def leap(self) -> int:
        """Iterations until the plan may change: an arrival to admit, an end, a window, blocks."""
        decodes = self.decodes
        if self.replan:
            return 1
        count = decodes.next_end() - decodes.steps
        for sequence in decodes.narrow.values():
            count = min(count, decodes.window - decodes.context(sequence) - 1)
        spare = self.free + decodes.new_blocks(1)  # the first step's blocks are taken already
        if decodes.new_blocks(count) > spare:
            count = bisect_right(range(count), spare, key=decodes.new_blocks) - 1
        return max(1, count)

    def until_arrival(self, count: int, total_s: float, growth_s: float) -> int:
        """At most ``count`` iterations, and none after the next request has come."""
        if not self.under_way:
            return count
        left_s = self.under_way[0][0] - self.now_s

        def spent_s(n: int) -> float:
            return n * total_s + growth_s * (0.5 * n * (n - 1))

        if spent_s(count) <= left_s:
            return count
        return max(1, bisect_right(range(count), left_s, key=spent_s))

    def batch(self, chunks: list[tuple[Sequence, int]]) -> Batch:
        """The integers of an iteration over the decodes and these chunks."""
        decodes, window = self.decodes, self.cost.window
        pairs = sum(n * (2 * s.prefilled + n) for s, n in chunks)
        inside = sum(windowed_pairs(s.prefilled, n, window) for s, n in chunks) if window else 0
        return Batch(
            tokens=len(decodes) + sum(n for _, n in chunks),
            decodes=len(decodes),
            kv_tokens=decodes.kv_tokens + len(decodes),
            windowed_kv_tokens=decodes.windowed_kv(),
            prefill_pairs=pairs,
            windowed_prefill_pairs=inside,
        )

    def deliver(self, chunks: list[tuple[Sequence, int]]) -> None:
        """Ends what is complete and sends its successors; joins complete prefills."""
        ended = self.decodes.ended()
        for sequence, chunk in chunks:
            sequence.prefilled += chunk
            if sequence.prefilled < sequence.target:
                continue
            if sequence.first_s is None:
                sequence.first_s = self.now_s
            self.decodes.join(sequence)
        if chunks:
            self.prefilling = [s for s in self.prefilling if s.prefilled < s.target]
            ended += self.decodes.ended()
        for sequence in ended:
            self.free += blocks_of(sequence.last)
            first_s = self.now_s if sequence.first_s is None else sequence.first_s
            self.finished.append(
                Record(sequence.sent_s, first_s, self.now_s, sequence.output_tokens)
            )
            self.send(self.now_s)


def blocks_of(tokens: int) -> int:
    """KV blocks of a context."""
    return -(-tokens // BLOCK_TOKENS)
