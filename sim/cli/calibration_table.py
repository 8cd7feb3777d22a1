"""Ranges of the calibration: as a table behind a summary, and in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from sim.study.calibrations import CalibrationResult


def with_ranges(content: dict[str, Any], ranges: CalibrationResult | None) -> dict[str, Any]:
    """The JSON form of a result with ranges in its metrics, and what is known of the samples."""
    if ranges is None:
        return content
    from sim.results.result import metrics_json

    keys = ("seed", "samples", "failed", "share", "holds")
    samples = {"folder": str(ranges.folder), **{key: ranges.manifest[key] for key in keys}}
    return {**content, "metrics": metrics_json(ranges.metrics), "calibration": samples}


def report_ranges(ranges: CalibrationResult, as_json: bool) -> None:
    """Print ranges by themselves: the table, or JSON."""
    if as_json:
        content = {"run": str(ranges.folder), "outcome": ranges.manifest["outcome"]}
        print(json.dumps(with_ranges(content, ranges), indent=2))
    else:
        print_ranges(ranges)


def print_ranges(ranges: CalibrationResult | None) -> None:
    """Print the ranges of what a summary shows, and what holds under how many samples."""
    if ranges is None:
        return
    from rich.text import Text

    from sim.cli.summary import Marks, console, plain_text

    out, manifest = console(), ranges.manifest
    count = len(manifest["samples"])
    out.print()
    out.print(
        Text(
            f"If speeds and draw are off as in measured runs that the fits had not seen: {count} "
            f"samples under seed {manifest['seed']}, whose range holds the true value in "
            f"{count - 1} of {count + 1} cases"
        )
    )
    for failed in manifest["failed"]:
        reason = failed["reason"].partition("\n")[0]
        out.print(Text(plain_text(f"Sample {failed['sample']} failed: {reason}"), "red"))
    out.print(_table(ranges))
    marks = Marks(out)
    for line in manifest["holds"]:
        sure = line["held"] in (0, line["samples"])
        mark = marks.of(line["held"] > 0) if sure else Text("?", "yellow")
        under = f"(in {line['held']} of {line['samples']} samples)"
        out.print(Text.assemble("  ", mark, f" {plain_text(line['text'])}  ", (under, "dim")))
    out.print(Text(f"Samples: {plain_text(ranges.folder)}, and a folder beside it for each"))


def _table(ranges: CalibrationResult) -> Table:
    from rich.table import Table
    from rich.text import Text

    from sim.cli.summary import plain_text
    from sim.cli.summary_seeds import SITE_ROWS, WORKLOAD_ROWS

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, header in enumerate(("", "fitted", "lowest sample", "highest sample")):
        table.add_column(header, justify="right" if index else "left", overflow="fold")
    names = [workload["name"] for workload in ranges.manifest["workloads"]]
    groups = [(name, f"{name}.", WORKLOAD_ROWS) for name in names] + [("site", "", SITE_ROWS)]
    for title, prefix, labels in groups:
        rows = list(_rows(ranges, prefix, labels))
        if rows:
            table.add_row(Text(plain_text(title), "bold"))
        for row in rows:
            table.add_row(*row)
    return table


def _rows(
    ranges: CalibrationResult, prefix: str, labels: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    from sim.results.wording import quantity, shown

    for base, label in labels.items():
        metric = ranges.metrics.get(f"{prefix}{base}")
        if metric is None or metric.value is None:
            continue
        if metric.calibration_low is None or metric.calibration_high is None:
            yield f"  {label}", shown(metric), "–", "–"  # a sample could not measure it
            continue
        ends = (metric.calibration_low, metric.calibration_high)
        low, high = (quantity(end, metric.unit, metric.definition.dimension) for end in ends)
        yield f"  {label}", shown(metric), low, high
