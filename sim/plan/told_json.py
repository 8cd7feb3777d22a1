"""``Told`` in JSON types, and back: what is read from a file is checked, never trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sim.errors import ResultError
from sim.plan.told import (
    BAD,
    BARS,
    GOOD,
    LINE,
    OPEN,
    POINTS,
    WATERFALL,
    Chart,
    Part,
    Series,
    Table,
    Told,
)

_MEANT = (GOOD, BAD, OPEN)
_KINDS = (LINE, POINTS, BARS, WATERFALL)
_T = TypeVar("_T")


def told_json(told: Told) -> dict[str, Any]:
    """An answer as it is read; numbers that are not finite are null."""
    return {
        "asked": told.asked,
        "headline": told.headline,
        "meant": told.meant,
        "reasons": list(told.reasons),
        "parts": parts_json(told.parts),
    }


def parts_json(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Parts of an answer."""
    return [
        {
            "heading": part.heading,
            "sentences": list(part.sentences),
            "tables": [_table_json(table) for table in part.tables],
            "charts": [_chart_json(chart) for chart in part.charts],
        }
        for part in parts
    ]


def _table_json(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": [list(row) for row in table.rows],
        "left": sorted(table.left),
        "words": dict(table.words),
        "chosen": sorted(table.chosen),
        "note": table.note,
        "page_only": table.page_only,
    }


def _chart_json(chart: Chart) -> dict[str, Any]:
    return {
        "title": chart.title,
        "kind": chart.kind,
        "x": chart.x,
        "y": chart.y,
        "series": [
            {
                "name": one.name,
                "x": list(one.x),
                "names": list(one.names),
                "y": _finite(one.y),
                "low": _finite(one.low),
                "high": _finite(one.high),
                "chosen": sorted(one.chosen),
                "kinds": list(one.kinds),
            }
            for one in chart.series
        ],
        "limits": [[name, *_finite([level])] for name, level in chart.limits],
        "note": chart.note,
    }


def _finite(values: Sequence[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def told_from(content: Any, where: str) -> Told:
    """What ``told_json`` made of an answer; ``where``: the file, for messages.

    Raises:
        ResultError: it is nothing that ``told_json`` makes.
    """
    read = _Reader(content, where)
    return Told(
        asked=read.text("asked"),
        headline=read.text("headline"),
        meant=read.one_of("meant", _MEANT),
        reasons=read.texts("reasons"),
        parts=parts_from(read.get("parts"), f"{where}: parts"),
    )


def parts_from(content: Any, where: str) -> tuple[Part, ...]:
    """What ``parts_json`` made of parts.

    Raises:
        ResultError: it is nothing that ``parts_json`` makes.
    """
    return _each(content, where, _part)


def _part(content: Any, where: str) -> Part:
    read = _Reader(content, where)
    return Part(
        heading=read.text("heading"),
        sentences=read.texts("sentences"),
        tables=_each(read.get("tables"), f"{where}.tables", _table),
        charts=_each(read.get("charts"), f"{where}.charts", _chart),
    )


def _table(content: Any, where: str) -> Table:
    read = _Reader(content, where)
    columns = read.texts("columns")
    rows = _each(read.get("rows"), f"{where}.rows", _texts)
    if any(len(row) != len(columns) for row in rows):
        raise ResultError(f"{where}.rows: a row has not the {len(columns)} cells of its columns")
    words = read.get("words")
    if not isinstance(words, Mapping) or any(meant not in _MEANT for meant in words.values()):
        raise ResultError(f"{where}.words: expected words and how each is meant")
    return Table(
        columns=columns,
        rows=rows,
        left=read.places("left", len(columns)),
        words={str(word): str(meant) for word, meant in words.items()},
        chosen=read.places("chosen", len(rows)),
        title=read.text("title"),
        note=read.text("note"),
        page_only=read.get("page_only") is True,
    )


def _chart(content: Any, where: str) -> Chart:
    read = _Reader(content, where)
    chart = Chart(
        title=read.text("title"),
        kind=read.one_of("kind", _KINDS),
        x=read.text("x"),
        y=read.text("y"),
        series=_each(read.get("series"), f"{where}.series", _series),
        limits=_each(read.get("limits"), f"{where}.limits", _limit),
        note=read.text("note"),
    )
    if not chart.series or (chart.kind == WATERFALL and len(chart.series) != 1):
        raise ResultError(f"{where}.series: {len(chart.series)} series in a chart of {chart.kind}")
    for one in chart.series:
        along = one.names if chart.kind in (BARS, WATERFALL) else one.x
        if len(along) != len(one.y):
            raise ResultError(f"{where}.series: {len(along)} places for {len(one.y)} values")
    return chart


def _series(content: Any, where: str) -> Series:
    read = _Reader(content, where)
    y = read.numbers("y")
    series = Series(
        name=read.text("name"),
        y=y,
        x=_each(read.get("x"), f"{where}.x", _place),
        low=read.numbers("low"),
        high=read.numbers("high"),
        names=read.texts("names"),
        chosen=read.places("chosen", len(y)),
        kinds=read.texts("kinds"),
    )
    for name in ("x", "low", "high", "names", "kinds"):
        length = len(getattr(series, name))
        if length not in (0, len(y)):
            raise ResultError(f"{where}.{name}: {length} values where y has {len(y)}")
    return series


def _limit(content: Any, where: str) -> tuple[str, float]:
    if not isinstance(content, list) or len(content) != 2 or not isinstance(content[0], str):
        raise ResultError(f"{where}: expected a name and a level")
    return content[0], _number(content[1], where)


def _place(content: Any, where: str) -> float | str:
    return content if isinstance(content, str) else _number(content, where)


def _number(content: Any, where: str) -> float:
    """A number; null is one that was not finite."""
    if content is None:
        return math.nan
    if isinstance(content, bool) or not isinstance(content, (int, float)):
        raise ResultError(f"{where}: expected a number, not {content!r:.60}")
    try:
        value = float(content)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ResultError(f"{where}: {content!r:.60} is no number that an answer holds")
    return value


def _texts(content: Any, where: str) -> tuple[str, ...]:
    return _each(content, where, _text)


def _text(content: Any, where: str) -> str:
    if not isinstance(content, str):
        raise ResultError(f"{where}: expected text, not {content!r:.60}")
    return content


def _each(content: Any, where: str, read: Callable[[Any, str], _T]) -> tuple[_T, ...]:
    if not isinstance(content, list):
        raise ResultError(f"{where}: expected a list, not {content!r:.60}")
    return tuple(read(item, f"{where}[{index}]") for index, item in enumerate(content))


class _Reader:
    """Values of an object by key, each of the kind that is asked for."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise ResultError(f"{where}: expected an object, not {content!r:.60}")
        self._content, self._where = content, where

    def get(self, key: str) -> Any:
        if key not in self._content:
            raise ResultError(f"{self._where}: {key!r} is missing")
        return self._content[key]

    def text(self, key: str) -> str:
        return _text(self.get(key), f"{self._where}.{key}")

    def texts(self, key: str) -> tuple[str, ...]:
        return _texts(self.get(key), f"{self._where}.{key}")

    def numbers(self, key: str) -> tuple[float, ...]:
        return _each(self.get(key), f"{self._where}.{key}", _number)

    def one_of(self, key: str, known: Sequence[str]) -> str:
        word = self.text(key)
        if word not in known:
            raise ResultError(f"{self._where}.{key}: {word!r:.60} is none of {', '.join(known)}")
        return word

    def places(self, key: str, length: int) -> frozenset[int]:
        """Indices of something ``length`` long."""
        where = f"{self._where}.{key}"
        found = self.get(key)
        whole = isinstance(found, list) and all(type(place) is int for place in found)
        if not whole or any(not 0 <= place < length for place in found):
            raise ResultError(f"{where}: expected indices below {length}")
        return frozenset(found)
