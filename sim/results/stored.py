"""Tables that can be read: from memory or from Parquet part files, whole or by column."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq

from sim.errors import ResultError, did_you_mean
from sim.results.placement_tables import EVERY_TABLE
from sim.results.schema import PART_ROWS, schema

#: Yields a table piece by piece, only the named columns (all of them for None).
Loader = Callable[[Sequence[str] | None], Iterator[pa.Table]]

_PART = re.compile(r"part-\d{5}\.parquet")


class MissingTable(ResultError, KeyError):
    """A table that a run does not have; the message says why."""

    def __str__(self) -> str:
        return str(self.args[0])


class Tables(Mapping[str, pa.Table]):
    """Name → ``pyarrow.Table``, read when asked for; units are in the field metadata.

    ``rows``: name → number of rows, known without reading. ``files``: name → its part files in
    order, none of a table in memory.
    """

    def __init__(
        self,
        loaders: Mapping[str, Loader],
        rows: Mapping[str, int],
        files: Mapping[str, Sequence[Path]] = MappingProxyType({}),
    ) -> None:
        self._loaders = dict(loaders)
        self.rows = MappingProxyType(dict(rows))
        self.files = MappingProxyType({name: tuple(parts) for name, parts in files.items()})

    def select(self, name: str, columns: Sequence[str] | None) -> pa.Table:
        """Only some columns of a table (all of them for None), which is all that is read.

        Raises:
            MissingTable: the run has no such table.
            ResultError: its files cannot be read.
        """
        return pa.concat_tables(self.pieces(name, columns))

    def pieces(self, name: str, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        """The same piece by piece, in order, at least one: row groups where it lies in files.

        So a table may be far larger than memory.

        Raises:
            MissingTable, ResultError: as ``select``, while pieces are taken.
        """
        if name not in EVERY_TABLE:
            hint = did_you_mean(name, EVERY_TABLE)
            raise MissingTable(f"no result table is called {name!r}{hint}")
        if name not in self._loaders:
            raise MissingTable(
                f"this run has no table {name!r}: it was not recorded (`record` in the scenario "
                f"decides); it has {', '.join(self._loaders)}"
            )
        return self._loaders[name](columns)

    def __getitem__(self, name: str) -> pa.Table:
        return self.select(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._loaders

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)


def in_memory(tables: Mapping[str, pa.Table]) -> Tables:
    """Tables that are already there."""

    def loader(table: pa.Table) -> Loader:
        return lambda columns: iter([table if columns is None else table.select(list(columns))])

    return Tables(
        {name: loader(table) for name, table in tables.items()},
        {name: table.num_rows for name, table in tables.items()},
    )


def in_folder(folder: Path, rows: Mapping[str, int]) -> Tables:
    """Tables in part files under ``folder``; ``rows``: name → rows, as the manifest says.

    Raises:
        ResultError: a table's folder or a part is missing, superfluous, or a link.
    """
    loaders: dict[str, Loader] = {}
    files: dict[str, list[Path]] = {}
    for name, count in rows.items():
        parts = max(1, -(-count // PART_ROWS))
        files[name] = _part_files(folder, name, parts)
        loaders[name] = _folder_loader(name, count, files[name])
    return Tables(loaders, rows, files)


def _part_files(folder: Path, name: str, parts: int) -> list[Path]:
    place = folder
    for step in name.split("/"):
        place = place / step
        _require(place, stat.S_ISDIR, f"table {name!r} of {folder}", "a folder")
    found = sorted(path for path in place.iterdir() if _PART.fullmatch(path.name))
    if len(found) != parts:
        raise ResultError(
            f"table {name!r} of {folder} has {len(found)} part files where the manifest says "
            f"{parts}: the result is not whole; run the scenario again"
        )
    for part in found:
        _require(part, stat.S_ISREG, f"part {part.name} of table {name!r} of {folder}", "a file")
    return found


def _require(path: Path, is_kind: Callable[[int], bool], what: str, kind: str) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        raise ResultError(
            f"{what} is missing: the result is not whole; run the scenario again"
        ) from None
    if not is_kind(mode):
        raise ResultError(f"{what} is not {kind} of its own (links are not followed)")


def _folder_loader(name: str, rows: int, files: Sequence[Path]) -> Loader:
    def load(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        wanted = schema(name)
        if columns is not None:
            wanted = pa.schema([wanted.field(column) for column in columns])
        found = 0
        for file in files:
            for piece in _row_groups(file, columns):
                if piece.schema.names != wanted.names or piece.schema.types != wanted.types:
                    raise ResultError(
                        f"{file} does not have the columns of table {name!r}; it was written by "
                        "another version of rackplan"
                    )
                found += piece.num_rows
                yield piece
        if found != rows:
            raise ResultError(
                f"table {name!r} has {found} rows where the manifest says {rows}: the "
                f"result in {files[0].parent} was changed or cut"
            )

    return load


def _row_groups(file: Path, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """The row groups of a part; one without rows if it has none."""
    names = None if columns is None else [*columns]
    try:
        part = pq.ParquetFile(file)
        for group in range(part.num_row_groups):
            yield part.read_row_group(group, columns=names)
        if not part.num_row_groups:
            yield part.read(columns=names)
    except (pa.ArrowException, OSError) as error:
        raise ResultError(f"{file} cannot be read as Parquet: {error}") from error
