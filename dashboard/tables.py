"""SQL over the Parquet tables of a run, by a DuckDB that reads the results and nothing else."""

from __future__ import annotations

import os
import re
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import streamlit as st

from sim.errors import ResultError
from sim.results.placement_tables import EVERY_TABLE
from sim.results.result import RunResult
from sim.results.schema import schema

_NAMED = re.compile(r"\b(?:from|join)\s+([a-z][a-z_]*)")
_TABLES = {name.replace("/", "_"): name for name in EVERY_TABLE}
#: DuckDB's word for an Arrow type, for tables that no file holds a row of.
_DUCK = {"double": "double", "float": "float", "bool": "boolean", "string": "varchar",
         "int8": "tinyint", "int16": "smallint", "int32": "integer", "int64": "bigint"}  # fmt: skip


def query(result: RunResult, sql: str, parameters: dict[str, Any]) -> pd.DataFrame:
    """What a query gives; a table has its own name in it, with ``_`` for ``/``.

    Raises:
        ResultError: a table is not what the run wrote.
        duckdb.Error: its files cannot be read so.
    """
    assert result.folder is not None
    bound, sources = dict(parameters), []
    for word in dict.fromkeys(_NAMED.findall(sql)):
        if word not in _TABLES:
            continue
        table = _TABLES[word]
        if not result.tables.rows.get(table, 0):
            sources.append(f"{word} as ({_empty(table)})")
            continue
        files = [str(file) for file in result.tables.files[table]]
        _check_rows(result, table, files)
        bound[f"files_of_{word}"] = files
        sources.append(f"{word} as (select * from read_parquet($files_of_{word}))")
    with_tables = f"with {', '.join(sources)} {sql}" if sources else sql
    with _database(str(result.folder.parent)).cursor() as cursor:
        return cursor.execute(with_tables, bound).df()


def _empty(table: str) -> str:
    columns = ", ".join(
        f"null::{_DUCK[str(field.type)]} as {field.name}" for field in schema(table)
    )
    return f"select {columns} where false"


def _check_rows(result: RunResult, table: str, files: list[str]) -> None:
    """Raises ResultError: the files do not hold what the manifest says."""
    wanted, found = schema(table), 0
    for file in files:
        try:
            part = pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise ResultError(f"{file} cannot be read as Parquet: {error}") from error
        found_as = part.schema_arrow
        if found_as.names != wanted.names or found_as.types != wanted.types:
            raise ResultError(
                f"{file} does not have the columns of table {table!r}; it was written by another "
                "version of rackplan"
            )
        found += part.metadata.num_rows
    stated = result.tables.rows[table]
    if found != stated:
        raise ResultError(
            f"table {table!r} has {found} rows where the manifest says {stated}: the result was "
            "changed or cut"
        )


@st.cache_resource(max_entries=4, show_spinner=False)
def _database(root: str) -> duckdb.DuckDBPyConnection:
    """A connection that reads files under ``root`` and nothing else, and installs nothing."""
    connection = duckdb.connect(
        config={
            "threads": min(4, os.cpu_count() or 1),
            "memory_limit": "2GB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    connection.execute("set allowed_directories = $roots", {"roots": [root]})
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection
