"""An answer on a terminal: what was asked, the answer, and what it rests on."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sim.cli.summary import plain_text
from sim.plan.told import BAD, GOOD, OPEN, Part, Table, Told

_STYLES = {GOOD: "green", BAD: "red", OPEN: "yellow"}


def print_told(told: Told, to: Console) -> None:
    """Print it, charts left out."""
    to.print(Text(plain_text(told.asked), "dim"))
    to.print()
    to.print(Text(plain_text(told.headline), f"bold {_STYLES[told.meant]}"))
    for sentence in told.reasons:
        to.print(Text(plain_text(sentence)))
    for part in told.parts:
        _print_part(part, to)


def _print_part(part: Part, to: Console) -> None:
    tables = [table for table in part.tables if not table.page_only]
    if not part.sentences and not tables:
        return
    to.print()
    to.print(Text(plain_text(part.heading), "bold"))
    for sentence in part.sentences:
        to.print(Text(plain_text(sentence)))
    for table in tables:
        if table.title:
            to.print(Text(plain_text(table.title)))
        to.print(_drawn(table))
        if table.note:
            to.print(Text(plain_text(table.note), "dim"))


def _drawn(table: Table) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, header in enumerate(table.columns):
        left = index in table.left
        drawn.add_column(plain_text(header), justify="left" if left else "right", overflow="fold")
    for number, row in enumerate(table.rows):
        chosen = number in table.chosen
        cells = [
            Text(f"{'→ ' if chosen and not i else ''}{plain_text(cell)}",
                 _STYLES.get(table.words.get(cell, ""), ""))
            for i, cell in enumerate(row)
        ]  # fmt: skip
        drawn.add_row(*cells)
    return drawn
