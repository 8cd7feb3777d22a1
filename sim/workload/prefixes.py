"""Prefix-block ids of a trace: how many tokens one stands for, and the sense they must make.

Ids are chained: an id names a block of the prompt and the whole prefix before it, as hashes of
blocks do in serving engines. So requests with an equal id begin with equal text up to there, and an
id always follows the same id.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError
from sim.perf.step import BLOCK_TOKENS
from sim.workload.plan import TraceSpec
from sim.workload.table import TraceTable

#: Tokens that one id stands for, where the format says it.
FORMAT_BLOCK_TOKENS = {"mooncake": 512}


def block_tokens(table: TraceTable, spec: TraceSpec) -> int:
    """Tokens that one prefix id of a trace stands for; 0 if the trace has no ids.

    Raises:
        DataError: nobody says how many, or blocks of the prefix are not whole KV blocks.
    """
    if table.prefix_ids is None:
        return 0
    tokens = spec.prefix_block_tokens or FORMAT_BLOCK_TOKENS.get(spec.format)
    if tokens is None:
        message = "has prefix_ids; say how many tokens one stands for: `prefix_block_tokens: 512`"
        raise DataError(str(spec.file), message)
    uneven = not_whole_blocks(tokens)
    if uneven is not None:
        raise DataError(str(spec.file), f"prefix_block_tokens {uneven}")
    return tokens


def not_whole_blocks(tokens: int) -> str | None:
    """What is wrong with ``tokens`` for one prefix id, or None if they are whole KV blocks."""
    if tokens > 0 and tokens % BLOCK_TOKENS == 0:
        return None
    below = max(tokens, 0) // BLOCK_TOKENS * BLOCK_TOKENS
    right = f"{below} or {below + BLOCK_TOKENS}" if below else f"{BLOCK_TOKENS}"
    return (
        f"is {tokens}, but one id must stand for whole KV blocks of {BLOCK_TOKENS} tokens: "
        f"write {right}"
    )


def unchained(ptr: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places in ``ids`` (CSR by ``ptr``) whose id follows another id than where it came first."""
    parents = _parents(ptr, ids)
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    return np.flatnonzero(parents != parents[first][which])


def check_chained(table: TraceTable, file: str) -> None:
    """Refuse ids that name a block without what is before it.

    Raises:
        DataError: an id follows different ids in different requests.
    """
    ptr, ids = table.prefix_ptr, table.prefix_ids
    if ptr is None or ids is None:
        return
    wrong = unchained(ptr, ids)
    if not len(wrong):
        return
    place = int(wrong[0])
    parents = _parents(ptr, ids)
    before = int(np.argmax(ids == ids[place]))
    rows = np.searchsorted(ptr, [before, place], side="right") - 1
    here, there = (
        "starts a prompt" if parents[k] < 0 else f"follows {parents[k]}" for k in (place, before)
    )
    raise DataError(
        file,
        f"prefix id {ids[place]} {here} in request {rows[1]} and {there} in request {rows[0]} "
        "(counting from 0); ids are chained: one names its block and all that is before it",
    )


def _parents(ptr: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """[total] the id before each id in its list, −1 for the first of a list."""
    parents = np.concatenate([[-1], ids[:-1]]) if len(ids) else np.empty(0, dtype=np.int64)
    starts = ptr[:-1]
    parents[starts[starts < len(ids)]] = -1
    return parents


def dense(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same ids as their ranks from 0, so that hashes of 63 bits become small numbers."""
    ranks: NDArray[np.int64] = np.unique(ids, return_inverse=True)[1].astype(np.int64)
    return ranks
