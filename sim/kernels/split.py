"""Request rows taken apart into the columns of a table: one pass, as Arrow lays columns out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels.jit import entry

#: Columns that may be null, in the order of ``Columns.valid`` and ``Columns.nulls``.
NULLABLE = ("arrival_s", "admitted_s", "first_token_s", "end_s", "replica")


class Columns(NamedTuple):
    """Columns of n requests; bits are eight to a byte, the first one lowest, and begin as 0."""

    request_id: NDArray[np.int64]
    times_s: NDArray[np.float64]  # [4, n] arrival, admitted, first token, end
    ingress_s: NDArray[np.float64]
    egress_s: NDArray[np.float64]
    tokens: NDArray[np.int32]  # [5, n] input, output, delivered, preemptions, prefix hits
    replica: NDArray[np.int32]
    attempts: NDArray[np.int16]
    priority: NDArray[np.int8]
    codes: NDArray[np.int32]  # [3, n] workload, pool, outcome
    met: NDArray[np.uint8]  # bits
    valid: NDArray[np.uint8]  # [5, n / 8] bits: not null, of the NULLABLE columns
    nulls: NDArray[np.int64]  # [5]


def columns(n: int) -> Columns:
    """Room for ``n`` requests."""
    bits = (n + 7) // 8
    return Columns(
        np.empty(n, np.int64),
        np.empty((4, n), np.float64),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
        np.empty((5, n), np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int16),
        np.empty(n, np.int8),
        np.empty((3, n), np.int32),
        np.zeros(bits, np.uint8),
        np.zeros((len(NULLABLE), bits), np.uint8),
        np.zeros(len(NULLABLE), np.int64),
    )


@entry
def split_requests(rows: Any, pool: NDArray[np.int32], outcomes: int, into: Columns) -> int:
    """Take ``rows`` [n] of ``REQUEST_ROW`` apart; n, or the row with a code that does not exist.

    ``pool`` [w]: code of the pool of each workload.
    """
    for i in range(len(rows)):
        row = rows[i]
        if not (0 <= row.workload < len(pool) and 0 <= row.outcome < outcomes):
            return i
        into.request_id[i] = row.request_id
        into.times_s[0, i] = row.arrival_s
        into.times_s[1, i] = row.admitted_s
        into.times_s[2, i] = row.first_token_s
        into.times_s[3, i] = row.end_s
        into.ingress_s[i] = row.ingress_s
        into.egress_s[i] = row.egress_s
        into.tokens[0, i] = row.input_tokens
        into.tokens[1, i] = row.output_tokens
        into.tokens[2, i] = row.delivered_tokens
        into.tokens[3, i] = row.preemptions
        into.tokens[4, i] = row.prefix_hit_tokens
        into.replica[i] = row.replica
        into.attempts[i] = row.attempts
        into.priority[i] = row.priority
        into.codes[0, i] = row.workload
        into.codes[1, i] = pool[row.workload]
        into.codes[2, i] = row.outcome
        byte, bit = i >> 3, np.uint8(i & 7)
        into.met[byte] |= np.uint8(row.met) << bit
        for k in range(4):
            known = np.uint8(into.times_s[k, i] == into.times_s[k, i])
            into.valid[k, byte] |= known << bit
            into.nulls[k] += 1 - known
        known = np.uint8(row.replica >= 0)
        into.valid[4, byte] |= known << bit
        into.nulls[4] += 1 - known
    return len(rows)
