"""A sink of Parquet part files: bounded memory, and equal bytes for equal rows."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sim.results.folders import MANIFEST, METRICS, WorkFolder
from sim.results.schema import GROUP_ROWS, PART_ROWS, Blocks, canonical, schema, to_batch
from sim.results.stored import Tables, in_folder

#: What a reader may search by: row groups say which values of these they hold.
_SEARCHED = frozenset(
    ("request_id", "arrival_s", "end_s", "start_s", "t_s", "minute", "node", "replica")
)


def _options(table: str) -> dict[str, Any]:
    """How a table is written, column by column; measured on 500,000 requests.

    Times hardly repeat: a dictionary of them costs three times what the rest does and saves
    nothing. Split into streams of bytes they shrink by a fifth, and their lower bytes not at all,
    so the fastest compression is as good as any. Whole numbers shrink as differences (streams of
    bytes would do as well, but DuckDB and Polars read those of floats only). In all a third of the
    time and two thirds of the size of dictionaries everywhere; higher levels of zstd gain less
    than 1 %.
    """
    fields = schema(table)
    floats = [field.name for field in fields if pa.types.is_floating(field.type)]
    whole = [field.name for field in fields if pa.types.is_integer(field.type)]
    rest = [name for name in fields.names if name not in floats]
    return {
        "version": "2.6",
        "compression": dict.fromkeys(floats, "lz4") | dict.fromkeys(rest, "zstd"),
        "compression_level": dict.fromkeys(rest, 1),
        "use_dictionary": [field.name for field in fields if pa.types.is_string(field.type)],
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT")
        | dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        "write_statistics": [name for name in fields.names if name in _SEARCHED],
        "store_schema": False,
    }


class ParquetSink:
    """Writes each table as a folder of part files; the run's folder appears whole, at the end.

    Rows are cut into row groups of a fixed size however they were written, so the bytes depend on
    the rows (and the version of Arrow) only.

    Raises:
        ResultError: ``folder`` exists and is no result of a run, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._work = WorkFolder(Path(folder))
        self._writers: dict[str, _Parts] = {}
        self._aborted: str | None = None
        self._closed = False

    @property
    def aborted(self) -> str | None:
        """The reason given to ``abort``, or None."""
        return self._aborted

    def write(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to ``table``.

        Raises:
            UnknownName, ValueError: no such table, or columns that do not fit it.
        """
        if self._closed:
            raise ValueError(
                f"rows for table {table!r} after the sink was closed; each run needs a sink of "
                "its own"
            )
        batch = to_batch(table, columns)
        if table not in self._writers:
            self._writers[table] = _Parts(table, self._work.path.joinpath(*table.split("/")))
        self._writers[table].add(batch)

    def abort(self, reason: str) -> None:
        """Mark what is here as partial: ``publish`` will name the folder ``….partial``."""
        self._aborted = reason

    def close(self, end_s: float) -> Tables:
        """No more rows; the tables. ``end_s`` (simulated) is of no use to this sink."""
        if not self._closed:
            self._closed = True
            for writer in self._writers.values():
                writer.close()
        return self.tables()

    def publish(self, manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> Path:
        """Write both files and rename the folder to its final place, which is returned."""
        for name, content in ((METRICS, metrics), (MANIFEST, manifest)):
            text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
            (self._work.path / name).write_text(text + "\n", encoding="utf-8")
        return self._work.publish(partial=self._aborted is not None)

    def discard(self) -> None:
        """Remove the work folder: nothing is left behind."""
        self._closed = True
        for writer in self._writers.values():
            writer.drop()
        self._writers.clear()
        self._work.discard()

    def tables(self) -> Tables:
        """The tables, after ``close``."""
        return in_folder(
            self._work.path,
            {name: parts.rows for name, parts in sorted(self._writers.items())},
        )


class _Parts:
    """The part files of one table."""

    def __init__(self, table: str, folder: Path) -> None:
        self._schema = schema(table, coded=True)
        self._table = table
        self._options = _options(table)
        self._folder = folder
        self._blocks = Blocks(table, GROUP_ROWS)
        self._writer: pq.ParquetWriter | None = None
        self._parts = 0
        self.rows = 0
        folder.mkdir(parents=True)

    def add(self, batch: pa.RecordBatch) -> None:
        for block in self._blocks.add(batch):
            self._put(block)

    def close(self) -> None:
        rest = self._blocks.rest()
        if rest.num_rows or not self._parts:
            self._put(rest)
        self._end_part()

    def drop(self) -> None:
        # The files are about to be removed, so a full disk is no news here.
        with suppress(OSError, pa.ArrowException):
            self._end_part()

    def _put(self, block: pa.Table) -> None:
        if self._writer is None:
            file = self._folder / f"part-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(file, self._schema, **self._options)
            # What readers take for the table's types: a category is text to them.
            types = base64.b64encode(schema(self._table).serialize()).decode()
            self._writer.add_key_value_metadata({"ARROW:schema": types})
            self._parts += 1
        if block.num_rows:
            self._writer.write_table(canonical(block), row_group_size=GROUP_ROWS)
        self.rows += block.num_rows
        if self.rows % PART_ROWS == 0:
            self._end_part()

    def _end_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
