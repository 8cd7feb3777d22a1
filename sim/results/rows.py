"""Rows as kernels hand them over (``sim.kernels.rows``) ↔ columns of the result tables.

Kernels are imported where they run, so that reading results does not load a compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.results.tables import OUTCOMES

Rows = NDArray[np.void]

_TOKENS = ("input_tokens", "output_tokens", "delivered_tokens", "preemptions", "prefix_hit_tokens")
_TIMES = ("arrival_s", "admitted_s", "first_token_s", "end_s")


def category(codes: NDArray[np.int32], names: Sequence[str]) -> pa.Array:
    """A column of few values: ``codes`` [n] index ``names``."""
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32()), pa.array(names, pa.string()), safe=False
    )


def request_columns(
    rows: Rows, workloads: Sequence[str], pools: Sequence[str]
) -> dict[str, pa.Array]:
    """The columns of the ``requests`` table, in its order, as Arrow arrays.

    Nothing of ``rows`` is kept, so its memory may be used again. NaN and replica -1 become null.

    Args:
        rows: [n] of ``REQUEST_ROW``.
        workloads: names, by the rows' ``workload``.
        pools: name of the pool of each workload.

    Raises:
        ValueError: a workload or outcome that does not exist, or not one pool per workload.
    """
    from sim.kernels.split import NULLABLE, columns, split_requests

    n = len(rows)
    distinct = list(dict.fromkeys(pools))
    split = columns(n)
    pool_of = np.array([distinct.index(pool) for pool in pools], np.int32)
    done = split_requests(rows, pool_of, len(OUTCOMES), split)
    if done < n or len(pools) != len(workloads):
        strange = rows[done : done + 1][["request_id", "workload", "outcome"]].tolist()
        raise ValueError(f"{len(workloads)} workloads, {len(pools)} pools; no request is {strange}")

    def plain(values: NDArray[np.generic], name: str = "") -> pa.Array:
        valid, nulls = None, 0
        if name in NULLABLE:
            nulls = int(split.nulls[NULLABLE.index(name)])
            valid = pa.py_buffer(split.valid[NULLABLE.index(name)]) if nulls else None
        kind = pa.from_numpy_dtype(values.dtype)
        return pa.Array.from_buffers(kind, n, [valid, pa.py_buffer(values)], nulls)

    times = {name: plain(split.times_s[k], name) for k, name in enumerate(_TIMES)}
    tokens = {name: plain(split.tokens[k]) for k, name in enumerate(_TOKENS)}
    return {
        "request_id": plain(split.request_id),
        "workload": category(split.codes[0], workloads),
        "pool": category(split.codes[1], distinct),
        "replica": plain(split.replica, "replica"),
        "priority": plain(split.priority),
        "arrival_s": times["arrival_s"],
        "ingress_s": plain(split.ingress_s),
        "admitted_s": times["admitted_s"],
        "first_token_s": times["first_token_s"],
        "end_s": times["end_s"],
        "egress_s": plain(split.egress_s),
        **tokens,
        "attempts": plain(split.attempts),
        "outcome": category(split.codes[2], OUTCOMES),
        "met": pa.Array.from_buffers(pa.bool_(), n, [None, pa.py_buffer(split.met)], 0),
    }


def power_columns(rows: Rows) -> dict[str, pa.Array]:
    """The columns of the ``power`` table, in its order, from ``rows`` [n] of ``POWER_ROW``."""
    return {
        name: pa.array(np.ascontiguousarray(rows[name]))
        for name in ("node", "t_s", "out_mw", "in_mw")
    }


def request_rows(batch: pa.RecordBatch, workloads: Sequence[str]) -> Rows:
    """``REQUEST_ROW`` [n] from a batch of the ``requests`` table; null becomes NaN, -1 or 0.

    Raises:
        ValueError: a workload or outcome that is not known.
    """
    from sim.kernels.rows import REQUEST_ROW

    rows = np.empty(batch.num_rows, REQUEST_ROW)
    rows["workload"] = _codes(batch, "workload", workloads)
    rows["outcome"] = _codes(batch, "outcome", OUTCOMES)
    rows["replica"] = batch.column("replica").fill_null(-1).to_numpy()
    rows["met"] = batch.column("met").fill_null(False).to_numpy(zero_copy_only=False)
    for name in _TIMES:
        rows[name] = batch.column(name).to_numpy(zero_copy_only=False)
    for name in ("request_id", "ingress_s", "egress_s", "attempts", "priority", *_TOKENS):
        rows[name] = batch.column(name).fill_null(0).to_numpy()
    rows["again"] = False
    return rows


def power_rows(batch: pa.RecordBatch) -> Rows:
    """``POWER_ROW`` [n] from a batch of the ``power`` table."""
    from sim.kernels.rows import POWER_ROW

    rows = np.empty(batch.num_rows, POWER_ROW)
    for name in ("node", "t_s", "out_mw", "in_mw"):
        rows[name] = batch.column(name).to_numpy()
    return rows


def _codes(batch: pa.RecordBatch, column: str, names: Sequence[str]) -> NDArray[np.int64]:
    """Index in ``names`` of each value of a category."""
    found = batch.column(column)
    if not len(found):
        return np.empty(0, np.int64)
    known = pc.index_in(found.dictionary, value_set=pa.array(names, pa.string())).fill_null(-1)
    if not len(known):
        known = pa.array([-1])
    codes: NDArray[np.int64] = known.to_numpy().take(found.indices.fill_null(0).to_numpy())
    if found.null_count or codes.min() < 0:
        strange = next(name for name in found.to_pylist() if name not in names)
        raise ValueError(f"a request names {column} {strange!r}; known: {', '.join(names)}")
    return codes


class RowBuffer:
    """Copies rows until there are ``size`` of them, then hands them to ``flush`` in one block.

    So the blocks do not depend on how rows came in, and what a block costs is paid seldom.
    """

    def __init__(self, kind: np.dtype[np.void], size: int, flush: Callable[[Rows], None]) -> None:
        self._rows = np.empty(size, kind)
        # NumPy copies structures field by field, four times slower than bytes.
        self._bytes = self._rows.view(np.uint8).reshape(size, kind.itemsize)
        self._used = 0
        self._flush = flush

    def add(self, rows: Rows) -> None:
        """Take [n] contiguous rows; their memory may be used again."""
        given = rows.view(np.uint8).reshape(len(rows), rows.itemsize)
        taken = 0
        while taken < len(rows):
            n = min(len(rows) - taken, len(self._rows) - self._used)
            self._bytes[self._used : self._used + n] = given[taken : taken + n]
            self._used += n
            taken += n
            if self._used == len(self._rows):
                self.flush()

    def flush(self) -> None:
        """Hand on what is here."""
        used, self._used = self._used, 0
        if used:
            self._flush(self._rows[:used])
