"""The latencies of requests, from the columns of the ``requests`` table: one definition for all."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The latencies that are counted per minute of arrival.
FAMILIES = ("ttft", "tpot", "e2e", "queue")
#: Why a request did not count as good, or "met": the objective that it missed first in time.
CAUSES = ("met", "ttft", "tpot", "e2e", "outcome")
#: The columns that ``latencies`` reads.
COLUMNS = (
    "arrival_s",
    "ingress_s",
    "admitted_s",
    "first_token_s",
    "end_s",
    "output_tokens",
    "outcome",
)
# Sums of times differ in the last bits by the order of addition; anything below is a fault.
_ROUNDING_S = 1e-6


class ObjectivesLike(Protocol):
    """Latency objectives of a workload; None = not stated."""

    @property
    def ttft_s(self) -> float | None:
        """Time to first token."""
        ...

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first."""
        ...

    @property
    def e2e_s(self) -> float | None:
        """Sending to last token."""
        ...


def floats(table: pa.Table, column: str) -> Floats:
    """A column as float64 [n], null as NaN."""
    return np.asarray(
        table.column(column).cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64
    )


def latencies(requests: pa.Table) -> dict[str, Floats]:
    """Family → its value for each request [n] in seconds, NaN where it was not reached.

    ``ttft``: sending to first token, both at the user's. ``tpot``: (end - first token)/(output - 1)
    of completed requests of at least two tokens. ``e2e``: sending to end of completed requests.
    ``queue``: reaching the pool (sending + ingress) to first admission.

    Raises:
        ValueError: a time is negative, so the rows cannot come from a run.
    """
    arrival, first, end = (floats(requests, c) for c in ("arrival_s", "first_token_s", "end_s"))
    completed = pc.equal(requests.column("outcome"), "completed").to_numpy()
    output = floats(requests, "output_tokens")
    several = completed & (output >= 2)
    found = {
        "ttft": first - arrival,
        "tpot": np.where(several, (end - first) / np.where(several, output - 1, 1.0), np.nan),
        "e2e": np.where(completed, end - arrival, np.nan),
        "queue": floats(requests, "admitted_s") - (arrival + floats(requests, "ingress_s")),
    }
    for family, values in found.items():
        if np.any(values < -_ROUNDING_S):
            worst = int(np.nanargmin(values))
            raise ValueError(f"a request has a {family} of {values[worst]} s; times go forward")
        np.maximum(values, 0.0, out=values)
    return found
