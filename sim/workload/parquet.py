"""Reader of traces in Parquet: the columns of the plain CSV, and optional ``prefix_ids`` lists."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError
from sim.workload.readers import OPTIONAL, REQUIRED, WHOLE, check_columns
from sim.workload.table import TraceTable, check_sense
from sim.workload.types import NO_SESSION, OPEN


def read_parquet(file: Path, rows: int | None, *, generative: bool) -> TraceTable:
    """The first ``rows`` requests (None: all) of a Parquet trace, as the file tells them.

    Raises:
        DataError: the file cannot be read or is not of this format; rows count from 0.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = str(file)
    try:
        with pq.ParquetFile(file) as source:
            check_columns(
                name, list(source.schema_arrow.names), REQUIRED, (*OPTIONAL, "prefix_ids")
            )
            if rows is None:
                columns = source.read()
            else:
                batch = next(source.iter_batches(batch_size=rows), None)
                columns = pa.Table.from_batches(
                    [] if batch is None else [batch], source.schema_arrow
                )
    except OSError as error:
        raise DataError(name, f"cannot be read: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise DataError(name, f"is not a whole Parquet file: {error}") from error
    columns = columns.combine_chunks()
    after = _whole(columns, "after_request", name, OPEN)
    n = columns.num_rows
    ptr, ids = _prefixes(columns, name)
    table = TraceTable(
        arrival_s=_number(columns, "arrival_s", name, math.nan),
        input_tokens=_required(columns, "input_tokens", name),
        output_tokens=_required(columns, "output_tokens", name),
        priority=_whole(columns, "priority", name, 0),
        after_request=np.full(n, OPEN, dtype=np.int64) if after is None else after,
        think_s=_number(columns, "think_s", name, 0.0),
        cancel_after_s=(
            _number(columns, "cancel_after_s", name, math.inf)
            if "cancel_after_s" in columns.column_names
            else None
        ),
        prefix_ptr=ptr,
        prefix_ids=ids,
        period_s=math.nan,
        session=_whole(columns, "session", name, NO_SESSION),
    )
    check_sense(table, name, lambda row: (0, f"row {row}: "), generative=generative)
    return table


def _number(columns: Any, name: str, file: str, empty: float) -> NDArray[np.float64]:
    """A column as float64 with nulls as ``empty``; a column that is not there is all ``empty``."""
    import pyarrow as pa

    if name not in columns.column_names:
        return np.full(columns.num_rows, empty)
    column = columns.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(file, f"column {name!r} holds {column.type}; it must hold numbers")
    given = column.is_valid().to_numpy()
    values = column.cast(pa.float64()).fill_null(0.0).to_numpy()
    broken = given & np.isnan(values)
    if broken.any():
        row = int(np.argmax(broken))
        raise DataError(file, f"row {row}: {name} is NaN; leave it null where it is not stated")
    return np.where(given, values, empty)


def _whole(columns: Any, name: str, file: str, empty: int) -> NDArray[np.int64] | None:
    """A column of whole numbers as int64 with nulls as ``empty``; None when it is not there."""
    if name not in columns.column_names:
        return None
    given = columns.column(name).is_valid().to_numpy()
    values = _number(columns, name, file, 0.0)
    broken = (np.rint(values) != values) | (np.abs(values) >= 2.0**53)
    if broken.any():
        row = int(np.argmax(broken))
        raise DataError(file, f"row {row}: {name}: {values[row]:g} is not a whole number")
    whole = values.astype(np.int64)
    if WHOLE.get(name) and (whole < 0).any():
        row = int(np.argmax(whole < 0))
        raise DataError(file, f"row {row}: {name} is {whole[row]}; {WHOLE[name]}")
    return np.where(given, whole, empty)


def _required(columns: Any, name: str, file: str) -> NDArray[np.int64]:
    given = columns.column(name).is_valid().to_numpy()
    if not given.all():
        raise DataError(file, f"row {int(np.argmin(given))}: {name} is null; every request has it")
    whole = _whole(columns, name, file, 0)
    assert whole is not None  # the column was required when the schema was checked
    return whole


def _prefixes(columns: Any, file: str) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    import pyarrow as pa

    if "prefix_ids" not in columns.column_names:
        return None, None
    column = columns.column("prefix_ids")
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not is_list or not pa.types.is_integer(kind.value_type):
        raise DataError(file, f"column 'prefix_ids' holds {kind}; it must hold lists of integers")
    if column.null_count:
        row = int(np.argmin(column.is_valid().to_numpy()))
        raise DataError(file, f"row {row}: prefix_ids is null; write an empty list for none")
    lists = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], kind)
    values = lists.flatten()
    if values.null_count:
        raise DataError(file, "prefix_ids holds nulls inside its lists; ids are numbers from 0")
    ids = values.cast(pa.int64()).to_numpy()
    if (ids < 0).any():
        raise DataError(file, f"prefix_ids holds {ids.min()}; ids start at 0")
    offsets = lists.offsets.cast(pa.int64()).to_numpy()
    return offsets - offsets[0], ids
