"""The summary of a run on a terminal or in a file: an engineer's answer, in one screen."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.summary_control import control_sentence
from sim.cli.summary_outages import outage_sentence
from sim.cli.summary_parts import ttft_sentences
from sim.cli.summary_paths import path_sentence
from sim.cli.summary_places import places_sentence
from sim.cli.summary_retries import retry_sentence
from sim.cli.summary_weights import weights_sentence
from sim.results.expected import expected_sentences, outside_lengths
from sim.results.limit import TOUCH
from sim.results.metrics import Metric
from sim.results.result import RunResult
from sim.results.verdict import ObjectiveResult, Verdict, verdict
from sim.results.wording import percent, quantity, shown, span
from sim.units import format_si

if TYPE_CHECKING:
    from sim.results.metrics import MetricDefinition

#: Width of output that goes to no terminal.
WIDTH = 100
_STATUS = {
    "met": ("OBJECTIVES MET", "bold green"),
    "missed": ("OBJECTIVES MISSED", "bold red"),
    "no-objectives": ("NO OBJECTIVES STATED", "bold yellow"),
    "partial": ("NOT WHOLE", "bold red"),
}
#: From here on a node is "near" its limit.
_NEAR = 0.9
_LEVELS = ("utility", "generator", "msb", "ups", "cooling", "pdu", "rack", "server")


def console(width: int = WIDTH) -> Console:
    """Standard output: colours and its own width on a terminal, else plain text of ``width``."""
    terminal = sys.stdout.isatty()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name in another script must not end the output of a terminal without Unicode.
        sys.stdout.reconfigure(errors="replace")
    return Console(
        file=sys.stdout,
        width=None if terminal else width,
        force_terminal=terminal,
        highlight=False,
        markup=False,
        emoji=False,
    )


def plain_text(text: object) -> str:
    """Text from a file without control characters, which a terminal would obey."""
    return "".join(c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
                   for c in str(text))  # fmt: skip


class Marks:
    """Check mark and cross, or words where the output cannot encode them."""

    def __init__(self, out: Console) -> None:
        wide = out.encoding.lower().startswith("utf")
        self.good, self.bad = ("✓", "✕") if wide else ("ok", "FAILED")
        self.near = Text("!", "yellow")

    def of(self, good: bool) -> Text:
        """The mark, coloured."""
        return Text(self.good, "green") if good else Text(self.bad, "red")


def print_summary(result: RunResult, out: Console) -> None:
    """Print the whole summary."""
    judged = verdict(result)
    marks = Marks(out)
    _print_head(result, judged, out)
    out.print(_objectives_table(result, judged, marks))
    for sentence in ttft_sentences(result):
        out.print(Text(plain_text(sentence)))
    out.print()
    out.print(Text(plain_text(judged.binding_sentence), "bold"))
    for limit in judged.limits:
        if limit is judged.binding or limit.share < TOUCH:
            continue
        word = "also" if limit.binds else "within objectives"
        out.print(Text(plain_text(f"  {word}: {limit.sentence}")))
    out.print(Text(judged.power_sentence))
    table = _power_table(result, marks)
    if table.row_count:
        out.print(table)
    tells = (outage_sentence, places_sentence, weights_sentence, retry_sentence, control_sentence)
    for sentence in (path_sentence(result.manifest), *(tell(result) for tell in tells)):
        if sentence:
            out.print(Text(plain_text(sentence)))
    out.print(Text(_energy_sentence(result.metrics)))
    for sentence in _facility_sentences(result):
        out.print(Text(sentence))
    print_expected(result.manifest, outside_lengths(result), out)
    _print_notes(result, marks, out)
    if result.folder is not None:
        out.print(Text(f"Results: {plain_text(result.folder)}"))
    if judged.next_step:
        out.print(Text(plain_text(f"Try next: {judged.next_step}")))


def print_expected(
    manifest: Mapping[str, Any], lengths: Mapping[str, Sequence[str]], out: Console
) -> None:
    """Print how far off speeds and draw may be."""
    for sentence, warns in expected_sentences(manifest, lengths):
        head = ("Warning: ", "yellow") if warns else ""
        out.print(Text.assemble(head, plain_text(sentence)))


def _print_head(result: RunResult, judged: Verdict, out: Console) -> None:
    manifest = result.manifest
    window = manifest["window"]
    word, style = _STATUS[judged.status]
    out.print(
        Text.assemble(
            (f" {word} ", f"{style} reverse" if out.is_terminal else ""),
            " ",
            plain_text(judged.headline),
        )
    )
    out.print(
        Text(
            plain_text(
                f"{manifest['scenario']}, seed {manifest['seed']}, {manifest['engine']} engine: "
                f"{span(window['duration_s'])} simulated, metrics over {span(window['measured_s'])}"
                f" after {span(window['warm_up_s'])} of warm-up"
            ),
            "dim",
        )
    )
    out.print()


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _objectives_table(result: RunResult, judged: Verdict, marks: Marks) -> Table:
    table = _table("workload", "arrivals", "rate", "TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99",
                   "goodput")  # fmt: skip
    for workload in judged.workloads:
        name = workload.name
        metrics = {
            metric: result.metrics[f"{name}.{metric}"]
            for metric in ("arrivals", "arrival_rate", "ttft_p50", "tpot_p50", "goodput_fraction")
        }
        objectives = {objective.family: objective for objective in workload.objectives}
        goodput = Text(shown(metrics["goodput_fraction"]))
        if workload.met is not None:
            goodput.append(" ").append_text(marks.of(workload.met))
        table.add_row(
            Text(plain_text(name)),
            shown(metrics["arrivals"]),
            shown(metrics["arrival_rate"]),
            shown(metrics["ttft_p50"]),
            _tail(result, name, "ttft", objectives.get("ttft"), marks),
            shown(metrics["tpot_p50"]),
            _tail(result, name, "tpot", objectives.get("tpot"), marks),
            goodput,
        )
        if "e2e" in objectives:
            tail = _tail(result, name, "e2e", objectives["e2e"], marks)
            table.add_row(Text("  E2E p99"), *[""] * 3, tail)
    return table


def _tail(
    result: RunResult, name: str, family: str, objective: ObjectiveResult | None, marks: Marks
) -> Text:
    """``1.11 s of 1.00 s ✕``: the 99th percentile against its objective."""
    metric = result.metrics[f"{name}.{family}_p99"]
    text = Text(shown(metric))
    if objective is not None:
        text.append(f" of {format_si(objective.objective_s, 's')} ")
        if objective.over is not None:
            text.append_text(marks.of(objective.over <= 0.0))
    return text


def _power_table(result: RunResult, marks: Marks) -> Table:
    """One row per level of the tree: its node that came nearest to its limit."""
    table = _table("power", "nodes", "nearest to its limit", "mean", "peak", "limit", "used",
                   "over it")  # fmt: skip
    nodes = result.tables["power_nodes"].to_pylist()
    for level in _LEVELS:
        limited = [
            node
            for node in nodes
            if node["kind"] == level and node["limit_w"] and node["peak_w"] is not None
        ]
        if not limited:
            continue
        worst = max(limited, key=lambda node: (node["nearest_w"] / node["limit_w"], -node["node"]))
        over = worst["over_limit_s"] or 0.0
        near = over == 0.0 and worst["nearest_w"] >= _NEAR * worst["limit_w"]
        used = Text(percent(worst["nearest_w"] / worst["limit_w"]) + " ")
        table.add_row(
            level,
            str(sum(node["kind"] == level for node in nodes)),
            Text(plain_text(worst["name"])),
            format_si(worst["mean_w"], "W"),
            format_si(worst["peak_w"], "W"),
            format_si(worst["limit_w"], "W"),
            used.append_text(marks.near if near else marks.of(over == 0.0)),
            span(over),
        )
    return table


def _energy_sentence(metrics: Mapping[str, Metric]) -> str:
    energy, per_token = metrics["energy_j"], metrics["energy_per_output_token"]
    if energy.value is None:
        return f"Energy: not measured ({energy.reason})"
    text = f"Energy: {shown(energy)} from the utility"
    generated = metrics.get("generator_energy_j")
    if generated is not None and generated.value:
        text += f" and {shown(generated)} from generators"
    if per_token.value is None:
        return f"{text} ({per_token.reason})"
    text += f", {shown(per_token)} of output"
    cost = metrics["energy_cost_per_mtoken"]
    cooled = (pue := metrics.get("pue")) is not None and pue.value is not None
    if cost.value is None:
        text += " (no energy price is stated)"
    elif not cooled:  # else the price is that of cooling too, and stands with it
        text += f", {shown(cost)}"
    goodput = metrics["goodput_per_mw"]
    if goodput.value is None:
        return text
    return f"{text}; goodput {_shown_as(goodput.definition, goodput.value)} provisioned"


def _where(result: RunResult) -> str:
    """Where cooling's energy comes from."""
    cooling = result.manifest["resolved"].get("cooling") or {}
    if cooling.get("fed_by"):
        return f"from {plain_text(cooling['fed_by'])}, within the utility's"
    return "beside the utility's (no load of the tree)"


def _facility_sentences(result: RunResult) -> Iterator[str]:
    """What the whole facility takes, for the parts that the scenario states."""
    metrics = result.metrics

    def measured(name: str) -> Metric | None:
        metric = metrics.get(name)  # None in results of an older version
        return metric if metric is not None and metric.value is not None else None

    pue, cooling = measured("pue"), measured("cooling_energy_j")
    whole, peak = measured("facility_energy_j"), measured("facility_peak_w")
    if pue and cooling and whole and peak:
        yield (
            f"Cooling: PUE {shown(pue)}; {shown(cooling)} {_where(result)}, {shown(whole)} in "
            f"all, at most {shown(peak)} over a minute"
        )
    for label, total, rate, note in (
        ("Price", "energy_cost", "energy_cost_per_mtoken", "cooling included"),
        ("Carbon", "carbon_g", "carbon_per_mtoken", "average, not marginal"),
        ("Water", "water_l", "water_per_mtoken", "evaporated on site"),
    ):
        sum_, per_token = measured(total), measured(rate)
        if sum_ and (pue or label == "Carbon"):
            ratio = f", {shown(per_token)}" if per_token else ""
            yield f"{label}: {shown(sum_)}{ratio} ({note})"


def _shown_as(definition: MetricDefinition, value: float) -> str:
    return quantity(value, definition.unit, definition.dimension)


def _print_notes(result: RunResult, marks: Marks, out: Console) -> None:
    warnings: Iterable[Any] = result.manifest["warnings"]
    for warning in warnings:
        out.print(Text.assemble(("Warning: ", "yellow"), plain_text(warning)))
    expectations = result.manifest["expectations"]
    if expectations:
        out.print(Text("Expectations"))
    for expectation in expectations:
        metric = result.metrics.get(expectation["metric"])
        measured = "" if metric is None or metric.value is None else shown(metric)
        detail = "; ".join(part for part in (measured, expectation["reason"]) if part)
        out.print(
            Text.assemble(
                "  ",
                marks.of(expectation["passed"]),
                f" {plain_text(expectation['text'])}",
                (f"  ({plain_text(detail)})" if detail else "", "dim"),
            )
        )
