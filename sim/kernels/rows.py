"""Rows that kernels fill: the layouts in which the compiled engine hands its results on."""

from __future__ import annotations

import numpy as np

#: One request at its outcome. NaN = not reached; ``replica`` -1 = sent to none; ``outcome`` is an
#: index in ``sim.results.tables.OUTCOMES``, ``workload`` one in the scenario's list. ``again``: not
#: the request, but one attempt, after which it is sent once more; then ``ingress_s`` ends when this
#: attempt was sent, not when it reached the pool.
REQUEST_ROW = np.dtype(
    [
        ("request_id", np.int64),
        ("arrival_s", np.float64),
        ("ingress_s", np.float64),
        ("admitted_s", np.float64),
        ("first_token_s", np.float64),
        ("end_s", np.float64),
        ("egress_s", np.float64),
        ("input_tokens", np.int32),
        ("output_tokens", np.int32),
        ("delivered_tokens", np.int32),
        ("preemptions", np.int32),
        ("prefix_hit_tokens", np.int32),
        ("replica", np.int32),
        ("workload", np.int16),
        ("attempts", np.int16),
        ("outcome", np.int8),
        ("priority", np.int8),
        ("met", np.bool_),
        ("again", np.bool_),
    ],
    align=True,
)

#: A prompt between two replicas, and what there is to say: SEND, its KV may be sent; ALL, the whole
#: of it is computed by now; STOP, it is not wanted any more. Or PACE: replica ``slot`` begins
#: iterations of ``tokens`` tokens, the first of ``to_s`` seconds.
SEND, ALL, STOP, PACE = range(4)
MOVE = np.dtype(
    [
        ("t_s", np.float64),
        ("request_id", np.int64),
        ("admitted_s", np.float64),
        ("prefilled_s", np.float64),
        ("from_s", np.float64),  # the iteration that computes the last of it
        ("to_s", np.float64),
        ("slot", np.int32),  # at the replica that decodes
        ("source", np.int32),
        ("target", np.int32),
        ("tokens", np.int32),
        ("kind", np.int8),
    ],
    align=True,
)

#: A power node's state that lasted some time: a row of the ``power`` table.
POWER_ROW = np.dtype(
    [
        ("t_s", np.float64),
        ("out_mw", np.int64),
        ("in_mw", np.int64),
        ("node", np.int32),
    ],
    align=True,
)

#: A span of time in which a power node's draw was above its limit: a row of ``over_limit``.
OVER_ROW = np.dtype(
    [
        ("start_s", np.float64),
        ("end_s", np.float64),
        ("peak_mw", np.int64),
        ("limit_mw", np.int64),
        ("node", np.int32),
    ],
    align=True,
)

#: What one power node drew in one minute: a row of ``summary/power`` before division. It stands
#: for ``minutes`` consecutive ones, ``minute`` the first, in each of which it drew just this.
MINUTE_ROW = np.dtype(
    [
        ("energy_mj", np.float64),
        ("seconds", np.float64),
        ("low_mw", np.int64),
        ("high_mw", np.int64),
        ("node", np.int32),
        ("minute", np.int32),
        ("minutes", np.int32),
    ],
    align=True,
)

#: What was decided about a request, and why replicas refused it.
DECISION = np.dtype(
    [
        ("t_s", np.float64),
        ("id", np.int64),
        ("pool", np.int64),
        ("kind", np.int64),  # CONTEXT or KV_CAPACITY: never fits; NONE: replicas refused
        ("amount", np.int64),  # tokens or blocks that the request needs
        ("rank", np.int64),  # of the suggestion that was taken, and its position; NONE = none
        ("position", np.int64),
        ("capacity_rank", np.int64),  # first refusal for KV capacity, its position; their number
        ("capacity_position", np.int64),
        ("capacity_count", np.int64),
        ("full_rank", np.int64),  # … because the queue was full
        ("full_position", np.int64),
        ("full_count", np.int64),
    ],
    align=True,
)

#: One iteration of a replica.
ITERATION = np.dtype(
    [
        ("start_s", np.float64),
        ("end_s", np.float64),
        ("kv_tokens", np.int64),
        ("prefill_tokens", np.int64),
        ("draw_mw", np.int64),
        ("replica", np.int32),
        ("decodes", np.int32),
        ("waiting", np.int32),
    ],
    align=True,
)
