"""The prefix cache of one replica: KV blocks of prompts that later requests need not prefill.

This is the executable specification; a compiled twin must equal it. Integers only, no clock. Ids
are *chained*: an id names its block and the whole prefix before it, so equal ids stand for equal
prefixes, and an id always follows the same id, its parent. One id stands for ``block_tokens``
tokens, a multiple of the 16 of a KV block; a workload's ids are its own (``prefix_key``). Only the
complete blocks of a prompt take part, its first ``input_tokens // block_tokens`` ids: its *chain*.

What happens when (``engine.batcher`` and ``engine.replica`` call in this order):

1. **Entries.** An id in the cache is an *entry*: it owns its KV blocks and counts the running
   requests that use it, its references. Entries without references are *idle* and can be evicted;
   ``free`` in every decision (admission, decode, preemption) is unused + idle blocks. So a cache
   never makes a request wait, or be preempted, that would not have been without it.
2. **Admission** looks up the longest run of a request's ids, from the first, that are entries: its
   hits, at most ``(input_tokens - 1) // block_tokens``, so that at least one token is prefilled. It
   needs ``blocks_for(target) - hits * blocks per id`` more blocks; they must fit into what is free
   *without* the idle entries among its hits. If they do not fit, nothing changes, not even an
   entry's place. If they do, the hits are referenced first, then the blocks are taken.
   ``context`` starts at ``hits * block_tokens``: what follows is prefilled in chunks. The window
   of sliding-window layers is reserved up front, and a hit is taken to restore it.
3. **Taking** blocks uses unused ones first. If they are too few, idle entries are evicted, the
   oldest first, until they suffice: at once, before anything else happens, and so before any later
   release. (A plan that leaps must evict for the takes of its iterations before the releases at its
   end.) A decode's block is taken after the preemptions of the same plan.
4. **The end of a prefill** makes the chain shareable, before the request's token is delivered: in
   order, an id that is no entry becomes one, with one reference, and owns the request's blocks of
   it; an id that meanwhile is an entry is referenced, and the request's own copy becomes unused.
   So a request that decodes references its whole chain. Nobody hits what is not computed yet.
5. **Release** (at the end, at a preemption, at the boundary after a cancellation) takes away the
   references of what the request holds: its hits, or its whole chain from the end of its prefill
   on; the deepest entry first. An entry without references becomes idle, the newest of all. So
   parents are newer than their children, and a child is always evicted before its parent. The
   request's own blocks become unused.
6. **Recompute** after a preemption is an admission: rule 2 with ``target = input_tokens +
   delivered``; generated tokens are never in the cache.
7. **KV tokens** in use: the contexts of the running requests, less, for each entry, (references -
   1) times its tokens. The blocks of idle entries are not in use.

A pool with ``prefix_cache: false``, and a request without ids, know no hits and share nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from sim.perf.step import BLOCK_TOKENS

#: Bits of an id within its workload; the workload's index stands above them.
PREFIX_BITS = 47


def prefix_key(workload: int, identity: int) -> int:
    """The id of a workload's prefix block among those of all workloads."""
    return (workload << PREFIX_BITS) | identity


@dataclass(slots=True)
class Entry:
    """A prefix block in the cache: the KV blocks it owns, and the running requests that use it."""

    blocks: int
    references: int = 1

    @property
    def tokens(self) -> int:
        """Tokens that its blocks hold."""
        return self.blocks * BLOCK_TOKENS


class PrefixCache:
    """Entries by id, and the idle ones in the order of their release.

    It counts KV blocks but does not know how many there are: ``share`` hands blocks over to it,
    ``share`` and ``evict`` say how many come back.

    Attributes:
        idle_blocks: KV blocks of entries without references: what ``evict`` can bring.
        repeated_tokens: Σ (references − 1) · tokens over entries with references.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._idle: OrderedDict[int, Entry] = OrderedDict()  # oldest first
        self.idle_blocks = 0
        self.repeated_tokens = 0

    def __len__(self) -> int:
        return len(self._entries)

    def longest(self, ids: Sequence[int]) -> int:
        """How many of ``ids``, from the first on, are in the cache. Changes nothing."""
        for hits, identity in enumerate(ids):
            if identity not in self._entries:
                return hits
        return len(ids)

    def idle_among(self, ids: Sequence[int]) -> int:
        """KV blocks of those entries among ``ids`` that are idle."""
        return sum(self._idle[identity].blocks for identity in ids if identity in self._idle)

    def acquire(self, ids: Sequence[int]) -> None:
        """Reference every one of ``ids``, which are all in the cache."""
        for identity in ids:
            entry = self._entries[identity]
            if entry.references == 0:
                del self._idle[identity]
                self.idle_blocks -= entry.blocks
            else:
                self.repeated_tokens += entry.tokens
            entry.references += 1

    def share(self, ids: Sequence[int], held: int, blocks: int) -> int:
        """Make a computed chain shareable; the first ``held`` of ``ids`` are referenced already.

        Args:
            blocks: KV blocks of each id, which the caller hands over for ``ids[held:]``.

        Returns:
            KV blocks that come back, because their ids were in the cache meanwhile.
        """
        returned = 0
        for identity in ids[held:]:
            if identity in self._entries:
                self.acquire((identity,))
                returned += blocks
            else:
                self._entries[identity] = Entry(blocks)
        return returned

    def release(self, ids: Sequence[int]) -> None:
        """Take one reference from each of ``ids``, the deepest first."""
        for identity in reversed(ids):
            entry = self._entries[identity]
            entry.references -= 1
            if entry.references == 0:
                self._idle[identity] = entry
                self.idle_blocks += entry.blocks
            else:
                self.repeated_tokens -= entry.tokens

    def evict(self, blocks: int) -> int:
        """Drop idle entries, oldest first, until they bring at least ``blocks`` KV blocks.

        Returns:
            KV blocks that come back: more than asked where an entry has more, fewer where all idle
            entries together have fewer.
        """
        returned = 0
        while returned < blocks and self._idle:
            identity, entry = self._idle.popitem(last=False)
            del self._entries[identity]
            returned += entry.blocks
        self.idle_blocks -= returned
        return returned
