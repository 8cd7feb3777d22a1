"""A sink that keeps all rows in memory, for Python use and tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from sim.results.schema import schema, to_batch
from sim.results.stored import Tables, in_memory


class MemorySink:
    """Keeps rows as Arrow batches; writes no file. ``RunResult.save`` writes them later."""

    def __init__(self) -> None:
        self._batches: dict[str, list[pa.RecordBatch]] = {}
        self._tables: Tables | None = None
        self._aborted: str | None = None

    @property
    def aborted(self) -> str | None:
        """The reason given to ``abort``, or None."""
        return self._aborted

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to ``table``.

        Raises:
            UnknownName, ValueError: no such table, or columns that do not fit it.
        """
        if self._tables is not None:
            raise ValueError(
                f"rows for table {table!r} after the sink was closed; each run needs a sink of "
                "its own"
            )
        batch = to_batch(table, columns)
        self._batches.setdefault(table, []).append(batch)

    def abort(self, reason: str) -> None:
        """Mark what is here as partial."""
        self._aborted = reason

    def close(self, end_s: float) -> Tables:
        """No more rows; the tables. ``end_s`` (simulated) is of no use to this sink."""
        if self._tables is None:
            self._tables = in_memory(
                {
                    name: pa.Table.from_batches(batches, schema(name, coded=True))
                    .cast(schema(name))
                    .combine_chunks()
                    for name, batches in sorted(self._batches.items())
                }
            )
            self._batches.clear()
        return self._tables

    def publish(self, manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
        """Nothing to make visible: the result object holds everything."""

    def discard(self) -> None:
        """Forget all rows."""
        self._batches.clear()
        self._tables = in_memory({})

    def tables(self) -> Tables:
        """The tables, after ``close``."""
        return self.close(0.0)
