"""The electrical tree as text: load, rating and headroom of each node, indented by level."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rich.console import Console
from rich.text import Text

from sim.cli.summary import plain_text
from sim.results.result import RunResult
from sim.results.wording import percent, span
from sim.units import format_si

_BAR = 20


def print_tree(result: RunResult, out: Console) -> None:
    """Print the tree, the servers of a rack as one line.

    A node with two feeds stands under its first one, with the other named.
    """
    nodes = {node["node"]: node for node in result.tables["power_nodes"].to_pylist()}
    children: dict[int, list[int]] = defaultdict(list)
    feeds: dict[int, list[int]] = defaultdict(list)
    for edge in result.tables["power_edges"].to_pylist():
        feeds[edge["child"]].append(edge["parent"])
        if len(feeds[edge["child"]]) == 1:
            children[edge["parent"]].append(edge["child"])
    if not nodes:
        out.print(Text("No electrical tree: the run ended before its meters were written."))
        return
    for node in nodes.values():
        node["modules"] = _modules(result, node["name"])
    wide = out.encoding.lower().startswith("utf")
    for root in (index for index in nodes if index not in feeds):
        _print_node(root, 0, nodes, children, feeds, wide, out)


def _print_node(
    root: int,
    depth: int,
    nodes: dict[int, dict[str, Any]],
    children: dict[int, list[int]],
    feeds: dict[int, list[int]],
    wide: bool,
    out: Console,
) -> None:
    # A stack instead of recursion: a file decides how deep the tree is.
    pending = [(root, depth)]
    seen: set[int] = set()
    while pending:
        index, depth = pending.pop()
        node = nodes.get(index)
        if node is None or index in seen:
            continue
        seen.add(index)
        also = [nodes[feed]["name"] for feed in feeds[index][1:] if feed in nodes]
        out.print(_line(node, depth, also, wide), soft_wrap=True)
        below = [child for child in children[index] if child in nodes]
        servers = [nodes[child] for child in below if nodes[child]["kind"] == "server"]
        if servers:
            out.print(_servers(servers, depth + 1), soft_wrap=True)
        pending += [
            (child, depth + 1) for child in reversed(below) if nodes[child]["kind"] != "server"
        ]


def _line(node: dict[str, Any], depth: int, also: list[str], wide: bool) -> Text:
    name = f"{'  ' * depth}{plain_text(node['name'])}"
    text = Text(f"{name:<26} ")
    peak, limit = node["nearest_w"], node["limit_w"]
    if peak is None:
        return text.append("not measured")
    if not limit:
        return text.append(f"{'no limit':<{_BAR + 6}} peak {format_si(peak, 'W')}")
    use = peak / limit
    filled = min(_BAR, round(use * _BAR))
    full, empty = ("█", "·") if wide else ("#", ".")
    style = "red" if use > 1 else "yellow" if use >= 0.9 else "green"
    text.append(full * filled, style).append(empty * (_BAR - filled), "dim")
    what = "budget" if node["budget_w"] is not None else "rating"
    text.append(
        f" {percent(use):>6}  peak {format_si(peak, 'W')} of {format_si(limit, 'W')} {what}"
    )
    if node["budget_w"] is not None and node["rating_w"] is not None:
        text.append(f" (rating {format_si(node['rating_w'], 'W')})")
    if use > 1:
        text.append(f", over it {span(node['over_limit_s'] or 0.0)}", "red")
    else:
        text.append(f", headroom {format_si(limit - peak, 'W')}")
    if node["modules"]:
        text.append(f", {node['modules']}")
    if also:
        text.append(f", also fed by {plain_text(', '.join(also))}", "dim")
    return text


def _modules(result: RunResult, name: str) -> str:
    """The modules of a UPS that has some, as its scenario states them."""
    power = result.manifest["resolved"].get("power") or {}
    for ups in power.get("ups", ()):
        stated = ups.get("modules")
        if ups["name"] == name and stated:
            return f"{stated['count']} modules, {stated['needed']} needed"
    return ""


def _servers(servers: list[dict[str, Any]], depth: int) -> Text:
    peaks = [server["peak_w"] for server in servers if server["peak_w"] is not None]
    count = f"{len(servers)} server{'s' if len(servers) > 1 else ''}"
    name = f"{'  ' * depth}{count}"
    if not peaks:
        return Text(f"{name:<26} not measured")
    return Text(f"{name:<26} peak of one {format_si(max(peaks), 'W')}", "dim")
