"""Rows as kernels hand them over (``sim.kernels.rows``) ↔ columns of the result tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.results.tables import OUTCOMES

Rows = NDArray[np.void]


def request_columns(
    rows: Rows, workloads: Sequence[str], pools: Sequence[str]
) -> dict[str, pa.Array]:
    """The columns of the ``requests`` table, in its order, as Arrow arrays.

    Nothing of ``rows`` is kept, so its memory may be used again. NaN and replica -1 become null.

    Args:
        rows: [n] of ``REQUEST_ROW``.
        workloads: names, by the rows' ``workload``.
        pools: name of the pool of each workload.
    """
    replica = rows["replica"]
    nowhere = np.zeros(len(rows))

    def category(codes: NDArray[np.integer], names: Sequence[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(codes.copy(), pa.array(names, pa.string()))

    def column(name: str) -> pa.Array:
        return pa.array(np.ascontiguousarray(rows[name]), from_pandas=True)

    return {
        "request_id": column("request_id"),
        "workload": category(rows["workload"], workloads),
        "pool": category(rows["workload"], pools),
        "replica": pa.array(replica.copy(), mask=replica < 0),
        "priority": column("priority"),
        "arrival_s": column("arrival_s"),
        "ingress_s": pa.array(nowhere),
        "admitted_s": column("admitted_s"),
        "first_token_s": column("first_token_s"),
        "end_s": column("end_s"),
        "egress_s": pa.array(nowhere),
        "input_tokens": column("input_tokens"),
        "output_tokens": column("output_tokens"),
        "delivered_tokens": column("delivered_tokens"),
        "preemptions": column("preemptions"),
        "prefix_hit_tokens": column("prefix_hit_tokens"),
        "outcome": category(rows["outcome"], OUTCOMES),
        "met": column("met"),
    }


def power_columns(rows: Rows) -> dict[str, pa.Array]:
    """The columns of the ``power`` table, in its order, from ``rows`` [n] of ``POWER_ROW``."""
    return {
        name: pa.array(np.ascontiguousarray(rows[name]))
        for name in ("node", "t_s", "out_mw", "in_mw")
    }
