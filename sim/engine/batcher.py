"""What a replica works on: its queue, its running sequences, their KV blocks, the next plan.

The rules follow vLLM's V1 scheduler with one difference: the blocks of a whole prompt (and of the
tokens to recompute) are reserved at admission, so prefill never allocates, a replica's only
sequence always fits and preemption always ends. Prompts may share blocks: see ``engine.prefix``.
Time plays no part here: see ``engine.replica``.
"""

from __future__ import annotations

from sim.engine.meters import BLOCKS, HELD, SEQUENCES, TOKENS
from sim.engine.prefix import PrefixCache
from sim.engine.queue import WaitingQueue
from sim.engine.request import DECODES, Request
from sim.perf.step import BLOCK_TOKENS, Batch, windowed_pairs
from sim.policies.base import BatchingPolicy


def blocks_for(tokens: int) -> int:
    """KV blocks that ``tokens`` tokens need."""
    return -(-tokens // BLOCK_TOKENS)


class Batcher:
    """Queue, running batch and KV blocks of one replica.

    Attributes:
        cache: KV blocks that hold prompts of requests past and present.
        unused_blocks: KV blocks that hold nothing.
        waiting: the queue.
        decoding, prefilling: running sequences in admission order. Every decoding sequence was
            admitted before every prefilling one; between boundaries at most one is partially
            prefilled, and it is the last admitted.
        chunks: the prefill of the planned iteration, (request, tokens).
        serves_decodes: whether the planned iteration carries the decoding sequences.
        membership: counts changes of the decoding set.
        leaving: running sequences whose client has gone; they leave at the next boundary.
        parting: prefilled sequences whose KV another pool has not got yet; they hold their blocks.
        incoming: sequences that hold blocks for the KV of a prompt, in the order of reservation;
            ``arrived`` of them have it, and decode from the next boundary on.
    """

    def __init__(
        self, policy: BatchingPolicy, kv_blocks: int, window: int, *, prefix_cache: bool = True
    ) -> None:
        self.mode = policy.mode
        self.max_batch_tokens = policy.max_batch_tokens
        self.max_sequences = policy.max_sequences
        self.window = window
        self.prefix_cache = prefix_cache
        self.cache = PrefixCache()
        self.unused_blocks = kv_blocks
        self.waiting = WaitingQueue()
        self.decoding: list[Request] = []
        self.prefilling: list[Request] = []
        self.chunks: list[tuple[Request, int]] = []
        self.serves_decodes = False
        self.admission_open = True  # static batching: the batch is still forming
        self.admits = True  # else nobody leaves the queue, whatever is free
        self.membership = 0
        self.leaving = 0
        self.preemptions = 0
        self.parting: list[Request] = []
        self.incoming: list[Request] = []
        self.reserved: list[Request] = []  # in the last plan

    @property
    def running(self) -> int:
        """Running sequences whose client still waits for them."""
        return len(self.decoding) + len(self.prefilling) - self.leaving

    @property
    def free_blocks(self) -> int:
        """KV blocks that can be had: unused ones, and those of cached prompts that nobody uses."""
        return self.unused_blocks + self.cache.idle_blocks

    # ---- leaving -------------------------------------------------------------------------

    def drop_leaving(self) -> None:
        """Sequences whose client has gone give their blocks back, in admission order."""
        if not self.leaving:
            return
        for request in [r for r in self.decoding if r.cancelled]:
            self.leave_decoding(request)
        for request in [r for r in self.prefilling if r.cancelled]:
            self.prefilling.remove(request)
            self.free(request)
        self.leaving = 0

    def clear(self, kv_blocks: int) -> None:
        """Nothing runs any more and nothing is in KV; whoever waited is gone as well."""
        self.drop_cache(kv_blocks)
        for sequences in (self.decoding, self.prefilling, self.parting, self.incoming):
            sequences.clear()
        self.chunks = []
        self.serves_decodes, self.admission_open = False, True
        self.membership += 1
        self.leaving = 0

    def drop_cache(self, kv_blocks: int) -> None:
        """Nothing is in KV any more; nobody runs."""
        self.cache = PrefixCache()
        self.unused_blocks = kv_blocks

    def drop_idle(self) -> None:
        """What the cache keeps of prompts that nobody uses is lost."""
        self.unused_blocks += self.cache.evict(self.cache.idle_blocks)

    def preempt_all(self, kv_blocks: int) -> None:
        """Every running sequence waits at the front of its class; nothing is in KV any more."""
        self.drop_leaving()
        while self.decoding or self.prefilling:
            self._preempt_last()
        self.clear(kv_blocks)

    def leave_decoding(self, request: Request) -> None:
        """Take ``request`` out of the decoding set and free its blocks."""
        self.decoding.remove(request)
        self.membership += 1
        self.free(request)

    def join_decoding(self, request: Request) -> None:
        """A prefilled sequence decodes from the next iteration on."""
        self.decoding.append(request)
        self.membership += 1

    def hold(self, request: Request) -> None:
        """A sequence is prefilled here and decoded elsewhere: its blocks stay until it is there."""
        self.parting.append(request)

    def release(self, request: Request) -> None:
        """Nothing of a sequence is needed any more that was to part or to come in."""
        (self.incoming if request.role == DECODES else self.parting).remove(request)
        self.free(request)

    def join_arrived(self) -> None:
        """Sequences whose KV has come decode from this boundary on.

        The last token of the prompt is computed here: its step delivers the first token.
        """
        for request in [r for r in self.incoming if not r.remote]:
            self.incoming.remove(request)
            request.context = request.input_tokens - 1
            self.join_decoding(request)

    def free(self, request: Request) -> None:
        """Give the blocks of ``request`` back; those it shares stay as long as there is room."""
        self.unused_blocks += request.blocks
        self.cache.release(request.prefix_ids[: request.shared])
        request.blocks = request.shared = 0

    def share(self, request: Request) -> None:
        """The prompt of ``request`` is in KV: from now on its complete blocks can be hit."""
        if not self.prefix_cache:
            return
        ids, blocks = request.prefix_ids, request.prefix_block_tokens // BLOCK_TOKENS
        request.blocks -= (len(ids) - request.shared) * blocks
        self.unused_blocks += self.cache.share(ids, request.shared, blocks)
        request.shared = len(ids)

    def _take(self, blocks: int) -> None:
        """Use ``blocks`` free blocks; idle entries of the cache make room, the oldest first."""
        if blocks > self.unused_blocks:
            self.unused_blocks += self.cache.evict(blocks - self.unused_blocks)
        self.unused_blocks -= blocks

    # ---- the plan ------------------------------------------------------------------------

    def plan(self, now_s: float) -> int | None:
        """Fill ``chunks`` and ``serves_decodes`` for the next iteration.

        Returns why the head of the queue was left waiting (``BLOCKS``, ``SEQUENCES``, ``TOKENS``,
        ``HELD``), or None if nobody waits.
        """
        self.chunks, self.reserved = [], []
        if self.mode == "chunked-prefill":
            return self._plan_mixed(now_s)
        return self._plan_apart(now_s)

    def _plan_mixed(self, now_s: float) -> int | None:
        """Every iteration carries all decodes, and as much prefill as the token budget leaves."""
        self.serves_decodes = True
        preempted = self._take_decode_blocks()
        left = self._continue_prefill(self.max_batch_tokens - len(self.decoding))
        if preempted:
            return BLOCKS
        return self._admit(left, now_s)

    def _plan_apart(self, now_s: float) -> int | None:
        """Iterations carry prefill or decodes, never both: prefill-first and static batching."""
        if self.mode == "static" and not self.decoding and not self.prefilling:
            self.admission_open = True
        left = self._continue_prefill(self.max_batch_tokens)
        blocked: int | None = SEQUENCES if self.waiting else None
        if self.admission_open:
            blocked = self._admit(left, now_s)
        self.serves_decodes = not self.chunks
        if self.serves_decodes:
            self.admission_open = self.mode == "prefill-first"
            if self._take_decode_blocks():
                blocked = BLOCKS
        return blocked

    def _take_decode_blocks(self) -> bool:
        """A decode at a block's edge needs a block for this iteration; preempt until all have one.

        Returns whether a sequence was preempted: then nobody is admitted at this boundary.
        """
        preempted = False
        while True:
            edge = [r for r in self.decoding if r.context % BLOCK_TOKENS == 0]
            if len(edge) <= self.free_blocks:
                break
            self._preempt_last()
            preempted = True
        for request in edge:
            request.blocks += 1
        self._take(len(edge))
        return preempted

    def _preempt_last(self) -> None:
        """The last admitted sequence loses its blocks and waits at the front of its class."""
        if self.prefilling:
            request = self.prefilling.pop()
            self.free(request)
        else:
            request = self.decoding[-1]
            self.leave_decoding(request)
        request.context = 0
        request.preemptions += 1
        self.preemptions += 1
        self.waiting.put_back(request)

    def _continue_prefill(self, left: int) -> int:
        """The partial prefill gets what the token budget has left; returns what then remains."""
        for request in self.prefilling:
            chunk = min(request.target - request.context, left)
            if chunk > 0:
                self.chunks.append((request, chunk))
                left -= chunk
        return left

    def _admit(self, left: int, now_s: float) -> int | None:
        """Admit from the queue while budget, sequences and blocks allow; nobody is skipped."""
        while self.waiting:
            if not self.admits:
                return HELD
            if len(self.decoding) + len(self.prefilling) + len(self.incoming) >= self.max_sequences:
                return SEQUENCES
            request = self.waiting.head()
            if left <= 0 and not request.remote:
                return TOKENS
            if not self._reserve(request):
                return BLOCKS
            self.waiting.pop()
            if request.remote:
                self.incoming.append(request)
                self.reserved.append(request)
                request.reserved = True
                continue
            if not request.admitted:
                request.admitted_s = now_s
                request.hit_tokens = request.context
            chunk = min(request.target - request.context, left)
            left -= chunk
            self.prefilling.append(request)
            self.chunks.append((request, chunk))
        return None

    def _reserve(self, request: Request) -> bool:
        """Find what the cache has of the prompt and take blocks for the rest, if there are enough.

        Nothing changes if there are not.
        """
        ids, size = request.reusable_ids if self.prefix_cache else (), request.prefix_block_tokens
        hits = ids[: self.cache.longest(ids)]
        # The last token of a prompt that comes in is computed here: its step takes its block.
        target = request.input_tokens + request.delivered - int(request.remote)
        blocks = blocks_for(target) - len(hits) * (size // BLOCK_TOKENS)
        if blocks > self.free_blocks - self.cache.idle_among(hits):
            return False
        self.cache.acquire(hits)
        self._take(blocks)
        request.blocks, request.shared = blocks, len(hits)
        request.target, request.context = target, len(hits) * size
        return True

    # ---- the planned iteration, in numbers -----------------------------------------------

    @property
    def decodes(self) -> list[Request]:
        """The sequences that decode in the planned iteration."""
        return self.decoding if self.serves_decodes else []

    @property
    def idle(self) -> bool:
        """Whether the planned iteration has nothing to do."""
        return not self.chunks and not self.decodes

    def kv_tokens(self) -> int:
        """Tokens in KV over all running sequences; what several of them share counts once."""
        contexts = sum(r.context for r in (*self.decoding, *self.prefilling, *self.parting))
        return contexts - self.cache.repeated_tokens

    def batch(self) -> Batch:
        """The sums over the planned iteration that its cost and draw depend on."""
        decodes, window = self.decodes, self.window
        return Batch(
            tokens=len(decodes) + sum(chunk for _, chunk in self.chunks),
            decodes=len(decodes),
            kv_tokens=sum(r.context for r in decodes) + len(decodes),
            windowed_kv_tokens=(sum(min(r.context + 1, window) for r in decodes) if window else 0),
            prefill_pairs=sum(chunk * (2 * r.context + chunk) for r, chunk in self.chunks),
            windowed_prefill_pairs=(
                sum(windowed_pairs(r.context, chunk, window) for r, chunk in self.chunks)
                if window
                else 0
            ),
        )

    def growing(self) -> int:
        """Decoding sequences whose next iteration reads one more token within the window."""
        return sum(1 for r in self.decodes if r.context + 1 < self.window) if self.window else 0

    def window_regimes(self) -> list[int]:
        """Of each chunk: −1 inside the window, −2 beyond it, else its context.

        Inside, the windowed pairs grow by 2·chunk² per iteration; beyond, not at all; a chunk
        across the edge is an iteration of its own.
        """
        return [
            -1
            if not self.window or r.context + chunk <= self.window
            else (-2 if r.context >= self.window else r.context)
            for r, chunk in self.chunks
        ]
