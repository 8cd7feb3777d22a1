"""A comparison on a terminal: what differs in the scenarios, then metric by metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.losses_table import EXPLAINED, losses_table, missing, worst_of_all
from sim.cli.summary import plain_text
from sim.results.expected import expected_sentences
from sim.results.slices import slice_minutes
from sim.study.changes import ABSENT, Change
from sim.study.compare import Comparison
from sim.study.difference import (
    BETTER,
    DIFFERS,
    NOT_JUDGED,
    NOT_SHOWN,
    SAME,
    UNCLEAR,
    WORSE,
)
from sim.study.told_difference import (
    VERDICTS,
    explained,
    half_width,
    relative,
    signed,
    value_in_words,
)

_STYLES: Mapping[str, str] = {
    BETTER: "green",
    WORSE: "red",
    DIFFERS: "bold",
    UNCLEAR: "yellow",
    NOT_SHOWN: "dim",
    SAME: "dim",
    NOT_JUDGED: "dim",
}
#: Longer values and lists of changes are cut; ``--json`` has all of them.
_LONGEST_VALUE, _MOST_CHANGES = 40, 20


def print_comparison(found: Comparison, out: Console) -> None:
    """Print the whole comparison."""
    out.print(Text(f"A  {plain_text(found.a.name)}"))
    out.print(Text(f"B  {plain_text(found.b.name)}"))
    for text in _changes(found.changes):
        out.print(Text(plain_text(text)))
    out.print()
    out.print(_table(found))
    out.print()
    for text in explained(found):
        out.print(Text(plain_text(text)))
    if found.losses:
        _print_losses(found, out)
    for letter, side in (("A", found.a), ("B", found.b)):
        for sentence, _ in expected_sentences(side.manifest, {}):
            out.print(Text(plain_text(f"{letter}: {sentence}")))
    for note in found.notes:
        out.print(Text.assemble(("Note: ", "yellow"), plain_text(note)))


def _print_losses(found: Comparison, out: Console) -> None:
    """What B's workloads lose."""
    out.print()
    out.print(Text("Losses of B against A, % of A (goodput: points), ± 95 % over the seeds"))
    slice_minute = slice_minutes(found.b.manifest["window"]["measured_s"])
    out.print(losses_table(found.losses, None if slice_minute is None else 60.0 * slice_minute))
    notes = [EXPLAINED, *missing(found.losses.values()), worst_of_all(found.losses.items())]
    for text in dict.fromkeys(notes):
        if text:
            out.print(Text(plain_text(text)))


def _changes(changes: tuple[Change, ...]) -> Iterator[str]:
    if not changes:
        yield "The scenarios are the same."
        return
    yield "The scenarios differ in:"
    for change in changes[:_MOST_CHANGES]:
        yield f"  {change.path}: {_value(change.a)} -> {_value(change.b)}"
    if len(changes) > _MOST_CHANGES:
        yield f"  and {len(changes) - _MOST_CHANGES} more (--json has them all)"


def _value(value: Any) -> str:
    text = "null" if value is None else value if value == ABSENT else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _table(found: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, header in enumerate(("", "A", "B", "B - A", "± (95 %)", "of A", "verdict")):
        words = index in (0, 6)
        table.add_column(
            header, justify="left" if words else "right", overflow="fold", no_wrap=words
        )
    for line in found.differences:
        table.add_row(
            Text(plain_text(line.name)),
            value_in_words(line, line.a),
            value_in_words(line, line.b),
            signed(line),
            half_width(line),
            relative(line),
            Text(VERDICTS[line.verdict], _STYLES[line.verdict]),
        )
    return table
