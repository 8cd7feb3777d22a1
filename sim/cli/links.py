"""``rackplan show RUN --links``: what the links of the network did, as tables or as JSON."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.fabric import rate_text
from sim.cli.summary import plain_text
from sim.results.measure_links import no_traffic
from sim.results.result import RunResult
from sim.results.wording import percent, span
from sim.units import format_si

#: Links that are shown unless told otherwise.
TOP = 15


def print_links(result: RunResult, out: Console, top: int) -> None:
    """Print tiers, then the links that were full longest, else the busiest."""
    manifest = result.manifest
    window = manifest["window"]
    title = (
        f"Links of {plain_text(manifest['scenario'])}, seed {manifest['seed']}, over "
        f"{span(window['measured_s'])} after {span(window['warm_up_s'])} of warm-up"
    )
    out.print(Text(title, "bold"))
    tiers = _rows(result, "link_tiers")
    if tiers:
        out.print(_tier_table(tiers))
    nothing = no_traffic(result)
    if nothing is not None:
        out.print(Text(f"No {'single ' if tiers else ''}links to show: {nothing}."))
        return
    links = _links(result, top)
    out.print()
    out.print(Text(_heading(result, links, tiers)))
    out.print(_link_table(links))
    out.print(Text(_NOTE, "dim"))


_NOTE = """\
full: time with nothing free, the worst link of a tier. held: flows that ended and whose rate this
link set for longer than any other did. P95: share of its rate not exceeded for 95 % of the time."""


def links_json(result: RunResult, top: int) -> dict[str, Any]:
    """Tiers and the first ``top`` links as JSON types; ``reason``: why there are none."""
    nothing = no_traffic(result)
    return {
        "run": result.name,
        "window": dict(result.manifest["window"]),
        "reason": nothing,
        "tiers": _rows(result, "link_tiers"),
        "links": [] if nothing is not None else _links(result, top),
    }


def _rows(result: RunResult, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = result.tables[table].to_pylist() if table in result.tables else []
    return rows


def _links(result: RunResult, top: int) -> list[dict[str, Any]]:
    """The rows of links: full longest first, then the busiest."""
    links: pa.Table = result.tables["links"]
    order = [("saturated_s", "descending"), ("mean_use", "descending"), ("link", "ascending")]
    rows: list[dict[str, Any]] = links.sort_by(order).slice(0, top).to_pylist()
    return rows


def _heading(result: RunResult, links: list[dict[str, Any]], tiers: list[dict[str, Any]]) -> str:
    full = sum(tier["saturated_links"] for tier in tiers)
    shown, used = len(links), result.tables.rows["links"]
    if not full:
        return f"No link was full. The busiest {shown:,} of {used:,} that were used or down:"
    what = "All" if shown >= used else f"The first {shown:,}"
    verb = "was" if full == 1 else "were"
    return (
        f"{full:,} of {used:,} links {verb} full at some time. {what}, full longest first, then "
        "busiest:"
    )


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _tier_table(tiers: list[dict[str, Any]]) -> Table:
    down = any(tier["down_links"] for tier in tiers)
    table = _table("tier", "links", "used", "carried", "mean", "max", "full", "links full",
                   "held", *["down"] * down)  # fmt: skip
    for tier in tiers:
        table.add_row(
            tier["tier"],
            f"{tier['links']:,}",
            f"{tier['used_links']:,}",
            format_si(tier["bytes"], "B"),
            _share(tier["mean_use"]),
            _share(tier["max_use"]),
            _time(tier["saturated_s"]),
            f"{tier['saturated_links']:,}",
            f"{tier['held_flows']:,}",
            *[f"{tier['down_links']:,}"] * down,
        )
    return table


def _link_table(links: list[dict[str, Any]]) -> Table:
    down = any(link["down_s"] for link in links)
    table = _table("link", "rate", "carried", "mean", "P95", "max", "full", "flows", "held",
                   *["down"] * down)  # fmt: skip
    for link in links:
        full = _time(link["saturated_s"])
        table.add_row(
            Text(plain_text(link["name"])),
            rate_text(link["capacity_bytes_per_s"]),
            format_si(link["bytes"], "B"),
            _share(link["mean_use"]),
            _share(link["p95_use"]),
            _share(link["max_use"]),
            Text(full, "yellow" if link["saturated_s"] else ""),
            f"{link['flows']:,}",
            f"{link['held_flows']:,}",
            *[_time(link["down_s"])] * down,
        )
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)


def _time(seconds: float) -> str:
    return span(seconds) if seconds else "-"
