"""Metrics that come from the meters: energy, draw, and what pools did with their time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sim.perf.step import BLOCK_TOKENS
from sim.results.measure_cost import cost_values
from sim.results.measure_facility import facility_values
from sim.results.metrics import names
from sim.results.values import NO_METER, NO_WINDOW, Value, known, ratio, unknown

if TYPE_CHECKING:
    from sim.results.result import RunResult


def workload_energy(result: RunResult, workload: str, window_s: float) -> dict[str, Value]:
    """Energy and delivered tokens of a workload, from the engine's meters."""
    rows = [row for row in result.tables["workloads"].to_pylist() if row["workload"] == workload]
    if not rows:
        missing = unknown(NO_METER)
        return dict.fromkeys(
            ("energy_j", "energy_per_output_token", "output_tokens_per_s"), missing
        )
    tokens = sum(row["delivered_tokens"] for row in rows)
    energy = sum(row["energy_j"] for row in rows)
    return {
        "energy_j": known(energy),
        "energy_per_output_token": ratio(energy, tokens, "no output token was delivered"),
        "output_tokens_per_s": ratio(tokens, window_s, NO_WINDOW),
    }


def pool_values(result: RunResult, pool: str, window_s: float) -> dict[str, Value]:
    """What a pool's replicas did, from the integrals of the ``replicas`` table."""
    rows = result.tables["replicas"]
    rows = rows.filter(pc.equal(rows.column("pool"), pool))
    if not rows.num_rows:
        missing = unknown(NO_METER)
        return dict.fromkeys(names("pool"), missing)

    def total(column: str) -> float:
        return float(pc.sum(rows.column(column), min_count=0).as_py())

    replica_s = rows.num_rows * window_s
    capacity = total("kv_blocks") * BLOCK_TOKENS * window_s
    values = {
        "kv_utilisation": ratio(total("kv_token_s"), capacity, NO_WINDOW),
        "busy_fraction": ratio(total("busy_s"), replica_s, NO_WINDOW),
        "waiting_mean": ratio(total("waiting_s"), window_s, NO_WINDOW),
        "running_mean": ratio(total("running_s"), window_s, NO_WINDOW),
        "preemptions": known(total("preemptions")),
        "energy_j": known(total("energy_j")),
    }
    values |= _pool_clocks(result, pool, window_s)
    for what in ("blocked_blocks", "blocked_sequences", "blocked_tokens", "blocked_held",
                 "cap_bound"):  # fmt: skip
        values[f"{what}_fraction"] = ratio(total(f"{what}_s"), replica_s, NO_WINDOW)
    return values


_NO_LIMIT = "no budget and no rating is stated for it"


class Controllers:
    """What power policies did, from the table ``controllers``, which older runs do not have."""

    def __init__(self, result: RunResult) -> None:
        self._there = "controllers" in result.tables
        self._rows = result.tables["controllers"].to_pylist() if self._there else []
        self._by_node = {row["node"]: [row] for row in self._rows}

    def at(self, node: int) -> dict[str, Value]:
        """What the controller of one power node did."""
        if self._there and node not in self._by_node:
            return _nothing_controlled("no power policy watches it")
        return self._sum(self._by_node.get(node, []))

    def everywhere(self) -> dict[str, Value]:
        """What all of them did."""
        return self._sum(self._rows)

    def _sum(self, rows: list[dict[str, Any]]) -> dict[str, Value]:
        return _control(rows) if self._there else _nothing_controlled(NO_METER)


def _nothing_controlled(why: str) -> dict[str, Value]:
    return dict.fromkeys(("brakes", "brake_s", "clock_commands"), unknown(why))


def _control(rows: list[dict[str, Any]]) -> dict[str, Value]:
    return {
        "brakes": known(sum(row["brakes"] for row in rows)),
        "brake_s": known(sum(row["brake_s"] for row in rows)),
        "clock_commands": known(sum(row["commands"] for row in rows)),
    }


#: Kinds of ``events`` by which a device that protects takes the power from what is below it.
TRIPS = ("trips", "drops-load", "battery-empty")


def _trips(result: RunResult) -> Value:
    """How often something opened; unknown where nothing can, which is not the same as 0."""
    guards = result.manifest["power"].get("guards")
    if guards is None or "events" not in result.tables:
        return unknown("the run does not say whether anything in it could trip")
    if not guards:
        return unknown("no breaker, UPS product or battery is stated, so nothing can trip")
    kinds = result.tables.select("events", ["kind"]).column("kind")
    return known(pc.sum(pc.is_in(kinds, value_set=pa.array(TRIPS)), min_count=0).as_py())


def _pool_clocks(result: RunResult, pool: str, window_s: float) -> dict[str, Value]:
    """How far below the maximum a pool's clocks were."""
    table = result.tables["clocks"].to_pylist() if "clocks" in result.tables else []
    row = next((row for row in table if row["pool"] == pool), None)
    if row is None:
        return dict.fromkeys(("capped_fraction", "mean_clock"), unknown(NO_METER))
    mean = row["mean_clock"]
    return {
        "capped_fraction": ratio(row["capped_s"], row["replicas"] * window_s, NO_WINDOW),
        "mean_clock": unknown(NO_WINDOW) if mean is None else known(mean),
    }


def power_node_values(node: Mapping[str, Any]) -> dict[str, Value]:
    """Draw, energy and headroom of one row of ``power_nodes``."""
    limit, nearest = node["limit_w"], node["nearest_w"]
    values = {
        name: unknown(NO_METER) if node[name] is None else known(node[name])
        for name in ("peak_w", "mean_w", "energy_j")
    }
    over = node["over_limit_s"]
    values["over_limit_s"] = unknown(_NO_LIMIT if limit is None else NO_METER)
    values["headroom_w"] = values["over_limit_s"]
    if limit is not None and over is not None:
        values["over_limit_s"] = known(over)
    if limit is not None and nearest is not None:
        values["headroom_w"] = known(limit - nearest)
    return values


def site_values(
    result: RunResult,
    nodes: list[dict[str, Any]],
    counted: Mapping[str, Value],
    window_s: float,
) -> dict[str, Value]:
    """What is measured at the utility, and per token and megawatt.

    ``nodes``: rows of ``power_nodes``; ``counted``: the site's counts and rates.
    """
    utility = next((node for node in nodes if node["kind"] == "utility"), None)
    if utility is None:
        missing = unknown("the run has no utility feed to measure at" if nodes else NO_METER)
        at_utility = dict.fromkeys(names("power"), missing)
    else:
        at_utility = power_node_values(utility)
    rows = result.tables["workloads"].to_pylist()
    tokens = sum(row["delivered_tokens"] for row in rows)
    energy, no_energy, _ = at_utility["energy_j"]
    no_token = "no output token was delivered" if rows else NO_METER
    per_token = ratio(energy, tokens, no_token, no_energy)
    provisioned = result.manifest["power"]["provisioned_w"]
    goodput, no_goodput, _ = counted["goodput_per_s"]
    facility = facility_values(
        result, nodes, at_utility["energy_j"], partial(ratio, bottom=tokens, reason=no_token)
    )
    return {
        **Controllers(result).everywhere(),
        "trips": _trips(result),
        "output_tokens_per_s": ratio(tokens if rows else None, window_s, NO_WINDOW, NO_METER),
        "over_budget_s": at_utility["over_limit_s"],
        "peak_draw_w": at_utility["peak_w"],
        "mean_draw_w": at_utility["mean_w"],
        "headroom_w": at_utility["headroom_w"],
        "energy_j": at_utility["energy_j"],
        "generator_energy_j": _generated(nodes, at_utility["energy_j"]),
        "energy_per_output_token": per_token,
        **facility,
        **cost_values(result, facility | {"energy_j": at_utility["energy_j"]}, window_s),
        "goodput_per_mw": unknown("provisioned power is unknown: no budget or rating is stated")
        if provisioned is None
        else ratio(goodput, provisioned / 1e6, "provisioned power is 0 W", no_goodput),
    }


def _generated(nodes: list[dict[str, Any]], at_utility: Value) -> Value:
    """What generators delivered; unknown where the utility's energy is."""
    if at_utility[0] is None:
        return at_utility
    return known(sum(node["energy_j"] for node in nodes if node["kind"] == "generator"))
