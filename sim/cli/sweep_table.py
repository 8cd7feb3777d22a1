"""A study on a terminal: its points with probabilities and metrics, then what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.losses_table import EXPLAINED, loss_cells, loss_heads, missing, worst_of_all
from sim.cli.summary import plain_text
from sim.cli.sweep_answer import answer_lines
from sim.results.expected import expected_sentences, pool_errors
from sim.results.wording import mean_in_words, percent, plus_minus, quantity
from sim.spec.axes import flow
from sim.spec.study import TRIP
from sim.study.difference import Difference
from sim.study.judge import NO, UNDECIDED, YES
from sim.study.naming import seeds_in_words
from sim.study.points import Study
from sim.study.sweep import PointResult, Probability, StudyResult

#: Width of output that goes to no terminal: tables of studies are wide.
WIDTH = 140
_STYLES = {YES: "green", NO: "red", UNDECIDED: "yellow"}


def print_study(result: StudyResult, folder: Path, out: Console) -> None:
    """Print the whole study."""
    study = result.study
    out.print(
        Text(
            plain_text(
                f"{study.name}: {len(result.points)} points of {study.spec.base}{_drawn(study)} "
                f"under {seeds_in_words(study.seeds)}, {result.engine} engine; "
                "mean ± 95 % over the seeds"
            ),
            "dim",
        )
    )
    for text in _failures(result):
        out.print(Text(plain_text(text), "red"))
    out.print()
    out.print(_table(result))
    if any(point.losses for point in result.points):
        out.print()
        out.print(Text(plain_text(_against(result))))
        out.print(_losses_table(result))
    if any(point.changes for point in result.points):
        out.print()
        out.print(Text("Change of the metrics against the baseline, paired by seed"))
        out.print(_changes_table(result))
    out.print()
    for text in answer_lines(result):
        out.print(Text(plain_text(text), "bold" if result.verdict is not None else ""))
    for text in dict.fromkeys([*_notes(result), *_expected(result)]):
        out.print(Text(plain_text(text)))
    out.print(Text(f"Results: {plain_text(folder)}, and a folder beside it for each run"))


def _drawn(study: Study) -> str:
    return "" if study.spec.sampling is None else f" ({study.spec.sampling.text})"


def _expected(result: StudyResult) -> Iterator[str]:
    """How far off speeds may be, of the pools of all points."""
    for point in result.study.points:
        pools = [{"name": pool.name, **pool_errors(pool)} for pool in point.scenario.pools]
        yield from (sentence for sentence, _ in expected_sentences({"pools": pools}, {}))


def _failures(result: StudyResult) -> Iterator[str]:
    for found in result.points:
        for side, seed, message in found.failed:
            whose = "" if side == "point" else "'s baseline"
            where = f"Point {found.point.number}{whose} ({result.study.label(found.point)})"
            yield f"{where} failed under seed {seed}: {message}"


def _against(result: StudyResult) -> str:
    baseline = result.study.spec.baseline or ()
    sets = ", ".join(f"{change.where}={flow(change.value.plain())}" for change in baseline)
    return f"Losses against the same point with {sets}; % of the baseline, goodput in points"


def _grid(result: StudyResult, *headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    if _numbered(result):
        table.add_column("point", justify="right")
    for name in result.study.axes:
        table.add_column(_lines(name), justify="left", overflow="fold", vertical="top")
    for header in headers:
        left = header == "workload"
        table.add_column(_lines(header), justify="left" if left else "right", overflow="fold")
    return table


def _lines(header: str) -> str:
    return "\n".join(plain_text(line) for line in header.splitlines())


def _head(name: str) -> str:
    """A metric's name in two lines: of what, and which."""
    of, _, base = name.rpartition(".")
    return f"{of}\n{base}" if of else name


def _numbered(result: StudyResult) -> bool:
    """Whether points need their numbers: an answer names them, and drawn ones have no order."""
    return result.verdict is not None or result.study.spec.sampling is not None


def _labels(result: StudyResult, found: PointResult) -> list[str]:
    labels = [plain_text(label) for label in found.point.labels]
    return [str(found.point.number), *labels] if _numbered(result) else labels


def _table(result: StudyResult) -> Table:
    """Probabilities, metrics, and whether expectations hold."""
    study = result.study
    expected = any(point.expectations for point in result.points)
    heads = ["trip\nprobability" if line.text == TRIP else f"P({line.text})"
             for line in study.chances]  # fmt: skip
    names = [_head(name) for name in study.metrics]
    more = [*(["expected"] if expected else []), *(["feasible"] if study.constraints else [])]
    front = set(result.verdict.front) if result.verdict is not None else set()
    table = _grid(result, *heads, *names, *more, *(["front"] if front else []))
    for found in result.points:
        cells = [Text(_chance(found.chances[line.text])) for line in study.chances]
        cells += [Text(mean_in_words(found.metrics.get(name))) for name in study.metrics]
        if expected:
            cells.append(_expectations(found))
        if study.constraints:
            cells.append(Text(found.feasible, _STYLES[found.feasible]))
        if front:
            cells.append(Text("*" if found.point.number in front else ""))
        table.add_row(*_labels(result, found), *cells)
    return table


def _chance(chance: Probability) -> str:
    if chance.low is None or chance.high is None:
        return "not known" if chance.runs else "not modelled" if chance.reason else "-"
    return (
        f"{chance.hits} of {chance.runs} "
        f"({100.0 * chance.low:.0f}-{100.0 * chance.high:.0f} %)"
    )  # fmt: skip


def _expectations(found: PointResult) -> Text:
    """The answer of the line that fares worst."""
    answers = [line.answer for line in found.expectations]
    answer = next((a for a in (NO, UNDECIDED, YES) if a in answers), "")
    return Text(answer, _STYLES.get(answer, ""))


def _losses_table(result: StudyResult) -> Table:
    """For each point and workload: over the window, and in its worst slice."""
    table = _grid(result, "workload", *loss_heads(found.slice_s for found in result.points))
    for found in result.points:
        labels = _labels(result, found)
        for workload, losses in found.losses.items():
            table.add_row(*labels, plain_text(workload), *loss_cells(losses))
            labels = [""] * len(labels)
    return table


def _changes_table(result: StudyResult) -> Table:
    table = _grid(result, *(_head(name) for name in result.study.metrics))
    for found in result.points:
        cells = [_change(found.changes.get(name)) for name in result.study.metrics]
        table.add_row(*_labels(result, found), *cells)
    return table


def _change(line: Difference | None) -> str:
    if line is None or line.difference is None:
        return "-"
    definition = line.definition

    def size(value: float) -> str:
        if definition.dimension == "fraction":
            return percent(value).replace(" %", " pp")
        return quantity(value, definition.unit, definition.dimension)

    sign = "+" if line.difference > 0.0 else ""
    if line.low is not None and line.high is not None:
        half = (line.high - line.low) / 2.0
        text = plus_minus(line.difference, half, definition.unit, definition.dimension)
        return f"{sign}{text}".replace(" %", " pp")
    sign = sign or ("-" if line.difference < 0.0 else "")
    return f"{sign}{size(abs(line.difference))}"


def _notes(result: StudyResult) -> Iterator[str]:
    """What the numbers are, and why some are missing."""
    yield (
        "Trip probability: in how many runs a breaker opened, a UPS let its load go or a battery "
        "ran empty (Clopper-Pearson, 95 %); time over a budget is not a trip"
    )
    for found in result.points:
        for text, chance in found.chances.items():
            if chance.reason:
                yield f"{_name(text)}: {chance.reason}"
        for name, metric in found.metrics.items():
            if metric.value is None or (metric.seeds or 0) < len(result.study.seeds):
                yield f"{name}: {metric.reason}"
    yield from _notes_on_losses(result)
    if any(math.isfinite(metric.value or 0.0) and metric.low is None and metric.value is not None
           for found in result.points for metric in found.metrics.values()):  # fmt: skip
        yield "Without ±: the same under every seed, or there is one seed"


def _name(text: str) -> str:
    return "trip probability" if text == TRIP else f"P({text})"


def _notes_on_losses(result: StudyResult) -> Iterator[str]:
    every = [
        (f"{workload} at {result.study.label(found.point)}", losses)
        for found in result.points
        for workload, losses in found.losses.items()
    ]
    if every:
        yield EXPLAINED
        yield from missing(losses for _, losses in every)
        if worst := worst_of_all(every):
            yield worst
