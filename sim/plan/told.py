"""What an answer says, before anything is drawn: sentences, tables and charts in their order.

A terminal and a page show the same ``Told``, so that neither says what the other does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: How a headline or a word in a table is meant.
GOOD, BAD, OPEN = "good", "bad", "open"
#: Kinds of charts. Line: x against y, with a band where a series has low and high. Points: each on
#: its own, named by ``names``. Bars: one for each of ``names``; waterfall: what each takes from the
#: bar before it, the last being what is left.
LINE, POINTS, BARS, WATERFALL = "line", "points", "bars", "waterfall"


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; ``left``: columns of words, the others are of numbers.

    Attributes:
        words: how cells that say exactly this are meant, such as {"yes": GOOD}.
        chosen: rows that stand for the answer.
        note: what the columns mean, below the table.
        page_only: too much for a terminal.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[int] = frozenset({0})
    words: dict[str, str] = field(default_factory=dict)
    chosen: frozenset[int] = frozenset()
    title: str = ""
    note: str = ""
    page_only: bool = False


@dataclass(frozen=True)
class Series:
    """Numbers of one thing: x and y alike long, or names and y; low and high are its interval.

    ``kinds``: what each part of a waterfall is, such as "stranded"; they share colours.
    """

    name: str
    y: tuple[float, ...]
    x: tuple[float | str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    chosen: frozenset[int] = frozenset()
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A picture; ``limits``: named levels of y that are drawn as rules.

    ``x`` and ``y`` are titles with their units.
    """

    title: str
    kind: str
    x: str
    y: str
    series: tuple[Series, ...]
    limits: tuple[tuple[str, float], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Part:
    """A heading and what stands under it; charts are for pages only."""

    heading: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True)
class Told:
    """An answer as it is read.

    Attributes:
        asked: the question in a sentence.
        headline: the answer in a line; ``meant``: GOOD, BAD or OPEN.
        reasons: sentences that follow it.
        parts: evidence, what limits, sensitivities, assumptions, warnings.
    """

    asked: str
    headline: str
    meant: str
    reasons: tuple[str, ...]
    parts: tuple[Part, ...]


class Answer(Protocol):
    """What a question of any kind gets."""

    @property
    def answered(self) -> bool:
        """Whether there is something to act on: False, and the command ends with 1."""
        ...

    def content(self) -> dict[str, object]:
        """All of it in JSON types."""
        ...

    def told(self) -> Told:
        """All of it for a reader."""
        ...


def digits(value: float) -> str:
    """Four digits, all of those before the point, and no exponent: ``404.3``, ``15,950``."""
    whole = abs(value) >= 1000.0
    return f"{value:,.0f}" if whole else f"{value:.4g}"


def sentences(*groups: Sequence[str]) -> tuple[str, ...]:
    """Groups of sentences, one after the other, without empty ones."""
    return tuple(one for group in groups for one in group if one)
