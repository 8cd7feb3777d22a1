"""Where rows go while a run writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sim.results.stored import Tables


class Sink(Protocol):
    """Takes rows as columns, table by table, in order; bounded memory is the sink's business.

    ``write`` may be called any number of times for a table of ``sim.results.tables.TABLES``;
    columns are equally long sequences, NumPy arrays or Arrow arrays; ``None`` (or NaN in a float
    column) is null.
    """

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to ``table``."""
        ...

    def abort(self, reason: str) -> None:
        """The run did not reach its end: keep what there is, marked as partial, or nothing."""
        ...


@runtime_checkable
class RowSink(Sink, Protocol):
    """A sink that also takes rows as kernels hand them over, thousands in a call.

    ``rows`` are contiguous structured arrays of ``sim.kernels.rows``. Their memory is the caller's
    and is used again after the call, so a sink copies what it keeps. A sink that has only
    ``write`` is served through ``sim.results.rows.request_columns`` and ``power_columns``.
    """

    def write_requests(self, rows: NDArray[np.void]) -> None:
        """Requests at their outcome: [n] of ``REQUEST_ROW``."""
        ...

    def write_power(self, rows: NDArray[np.void]) -> None:
        """Changes of power nodes: [n] of ``POWER_ROW``, each node's in ascending time."""
        ...

    def write_minutes(self, rows: NDArray[np.void]) -> None:
        """What nodes drew minute by minute: [n] of ``MINUTE_ROW``, instead of ``write_power``.

        Draw is of what is compared with the node's limit. Rows of one node ascend in their minute;
        several of one minute are parts of it.
        """
        ...


@runtime_checkable
class Store(Sink, Protocol):
    """A sink whose tables can be read back: what ``freeze`` needs to make a result."""

    @property
    def aborted(self) -> str | None:
        """The reason given to ``abort``, or None."""
        ...

    def close(self, end_s: float) -> Tables:
        """No more rows will come, the simulated time ended at ``end_s``; the tables so far."""
        ...

    def publish(self, manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> Path | None:
        """Make the result final and visible; the folder it is in, None for one in memory."""
        ...

    def discard(self) -> None:
        """Leave nothing behind."""
        ...

    def tables(self) -> Tables:
        """The tables, after ``close`` (and from their final place after ``publish``)."""
        ...
