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
from sim.results.wording import percent, quantity
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
    Difference,
)
from sim.study.naming import seeds_in_words
from sim.study.sides import ONE_SEED, PAIRED

_WORDS: Mapping[str, tuple[str, str]] = {
    BETTER: ("B better", "green"),
    WORSE: ("B worse", "red"),
    DIFFERS: ("B differs", "bold"),
    UNCLEAR: ("unclear", "yellow"),
    NOT_SHOWN: ("not shown", "dim"),
    SAME: ("same", "dim"),
    NOT_JUDGED: ("not judged", "dim"),
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
    for text in _explained(found):
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
        word, style = _WORDS[line.verdict]
        table.add_row(
            Text(plain_text(line.name)),
            _shown(line, line.a),
            _shown(line, line.b),
            _signed(line),
            _half_width(line),
            _relative(line),
            Text(word, style),
        )
    return table


def _shown(line: Difference, value: float | None) -> str:
    if value is None:
        return "-"
    return quantity(value, line.definition.unit, line.definition.dimension)


def _distance(line: Difference, value: float) -> str:
    """A difference of two values; of two shares, in percentage points."""
    if line.definition.dimension == "fraction":
        return percent(value).replace(" %", " pp")
    return _shown(line, value)


def _signed(line: Difference) -> str:
    if line.difference is None:
        return "-"
    sign = "+" if line.difference > 0.0 else "-" if line.difference < 0.0 else ""
    return f"{sign}{_distance(line, abs(line.difference))}"


def _half_width(line: Difference) -> str:
    if line.low is None or line.high is None:
        return "none" if line.p is not None else "-"
    return _distance(line, (line.high - line.low) / 2.0)


def _relative(line: Difference) -> str:
    if line.difference is None or not line.a:
        return "-"
    share = line.difference / abs(line.a)
    return f"{'+' if share > 0.0 else ''}{percent(share)}"


def _explained(found: Comparison) -> Iterator[str]:
    """How the verdicts came about, and why some lines have none."""
    if found.pairing == PAIRED:
        how = f"paired under {seeds_in_words(found.seeds)}"
    elif found.pairing == ONE_SEED:
        how = "without an interval"
    else:
        how = "not paired"
    real = sum(line.verdict in (BETTER, WORSE, DIFFERS) for line in found.differences)
    if found.looked_at:
        yield (
            f"{real} of {found.looked_at} differences are real: {how}, 95 %, corrected (Holm) for "
            f"the {found.looked_at} looked at"
        )
    if any(line.verdict == NOT_SHOWN for line in found.differences):
        yield "not shown: a difference of this size may be chance, or there is none"
    if any(line.verdict == UNCLEAR for line in found.differences):
        yield (
            "unclear: the interval alone leaves 0 out, but among so many metrics one does so by "
            "chance; name the one that matters beforehand (--metric), or take more seeds"
        )
    for line in found.differences:
        if line.reason:
            yield f"{line.name}: {line.reason}"
