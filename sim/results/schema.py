"""Result tables as Arrow: schemas with units, and columns checked on their way in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.errors import UnknownName
from sim.results.placement_tables import EVERY_TABLE
from sim.results.tables import Column

#: Rows of a Parquet row group, which is what a sink holds in memory, and of a part file.
GROUP_ROWS = 65_536
PART_ROWS = 16 * GROUP_ROWS

_TYPES = {"category": pa.string(), "string": pa.string(), "bool": pa.bool_()}
_CODED = pa.dictionary(pa.int32(), pa.string())


def arrow_type(column: Column, coded: bool = False) -> pa.DataType:
    """The Arrow type of a column; a category is a string, or a code and a dictionary."""
    if coded and column.type == "category":
        return _CODED
    return _TYPES.get(column.type) or pa.type_for_alias(column.type)


@cache
def schema(table: str, coded: bool = False) -> pa.Schema:
    """The Arrow schema of a result table, with ``unit`` and ``meaning`` in each field's metadata.

    ``coded``: on the way to where it is kept, categories being codes and a dictionary.

    Raises:
        UnknownName: no such table.
    """
    if table not in EVERY_TABLE:
        raise UnknownName("result table", table, EVERY_TABLE)
    return pa.schema(
        pa.field(
            column.name,
            arrow_type(column, coded),
            metadata={"unit": column.unit, "meaning": column.meaning},
        )
        for column in EVERY_TABLE[table]
    )


def to_batch(table: str, columns: Mapping[str, Any]) -> pa.RecordBatch:
    """Columns of ``table`` as one Arrow batch; None, and NaN in a float column, become null.

    The batch has ``schema(table, coded=True)``.

    Raises:
        UnknownName: no such table.
        ValueError: a column is missing, unknown, of another length or does not fit its type; the
            message names the table and the column.
    """
    wanted = schema(table, coded=True)
    unknown = [name for name in columns if name not in wanted.names]
    missing = [name for name in wanted.names if name not in columns]
    if unknown or missing:
        raise ValueError(
            f"table {table!r} takes exactly its columns: "
            + "; ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("unknown:", unknown), ("missing:", missing))
                if names
            )
        )
    arrays = [_array(table, field, columns[field.name]) for field in wanted]
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        sizes = ", ".join(f"{f.name}: {len(a)}" for f, a in zip(wanted, arrays, strict=True))
        raise ValueError(f"columns of table {table!r} differ in length ({sizes})")
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _array(table: str, field: pa.Field, values: Any) -> pa.Array:
    try:
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if field.type == _CODED:
            return _encode(values)
        if isinstance(values, pa.Array):
            return values.cast(field.type)
        return pa.array(values, type=field.type, from_pandas=True)
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        OverflowError,
        pa.ArrowNotImplementedError,
    ) as error:
        raise ValueError(
            f"column {field.name!r} of table {table!r} does not fit {field.type}: {error}"
        ) from error


def _encode(values: Any) -> pa.Array:
    """A category as codes and a dictionary."""
    if not isinstance(values, pa.Array):
        values = pa.array(values, type=pa.string(), from_pandas=True)
    if pa.types.is_dictionary(values.type):
        return pa.DictionaryArray.from_arrays(
            values.indices.cast(pa.int32()), values.dictionary.cast(pa.string())
        )
    return values.cast(pa.string()).dictionary_encode()


def canonical(block: pa.Table) -> pa.Table:
    """``block`` with each dictionary in the order in which its values first appear, no others.

    So the bytes of a file do not depend on whether names or codes were written, and by whom.
    """
    for index, field in enumerate(block.schema):
        if field.type == _CODED and block.num_rows:
            column = block.column(index).combine_chunks()
            block = block.set_column(index, field, _in_order(column))
    return block


def _in_order(column: pa.DictionaryArray) -> pa.DictionaryArray:
    names = len(column.dictionary)
    codes = column.indices.fill_null(names).to_numpy()
    order = _first_seen(codes[:_LOOK], names)
    if len(order) < np.count_nonzero(np.bincount(codes, minlength=names)[:names]):
        order = _first_seen(codes, names)
    if np.array_equal(order, np.arange(names)):
        return column
    place = np.zeros(names + 1, np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    indices = pa.array(place[codes], mask=codes == names if column.null_count else None)
    return pa.DictionaryArray.from_arrays(indices, column.dictionary.take(pa.array(order)))


# Usually all values of a category are met within so many rows.
_LOOK = 1024


def _first_seen(codes: NDArray[np.int32], names: int) -> NDArray[np.int64]:
    """The codes below ``names`` that occur, in the order in which they first do."""
    never = len(codes)
    first = np.full(names + 1, never)
    # Of several values for one place the last stays, which is that of the first row.
    first[codes[::-1]] = np.arange(never - 1, -1, -1)
    order = np.argsort(first[:names], kind="stable")
    return order[first[order] < never]


class Blocks:
    """Cuts a stream of batches into blocks of exactly ``rows`` rows, however they came in.

    What is computed or written block by block then depends on the rows alone, down to the last
    bit of a sum.
    """

    def __init__(self, table: str, rows: int) -> None:
        self._schema = schema(table, coded=True)
        self._rows = rows
        self._pending: list[pa.RecordBatch] = []
        self._count = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
        """Take a batch; yield each whole block that is now full (a table in one chunk)."""
        self._pending.append(batch)
        self._count += batch.num_rows
        if self._count < self._rows:
            return
        table = pa.Table.from_batches(self._pending, self._schema).unify_dictionaries()
        whole = self._count // self._rows * self._rows
        self._pending = table.slice(whole).to_batches()
        self._count -= whole
        for start in range(0, whole, self._rows):
            yield table.slice(start, self._rows).combine_chunks()

    def rest(self) -> pa.Table:
        """The rows after the last whole block; they are taken out."""
        table = pa.Table.from_batches(self._pending, self._schema)
        table = table.unify_dictionaries().combine_chunks()
        self._pending, self._count = [], 0
        return table
