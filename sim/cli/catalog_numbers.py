"""The main numbers of each kind of catalog entry: a row of ``rackplan catalog KIND``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from sim import catalog as rows
from sim.catalog.arithmetic import (
    active_parameters,
    kv_bytes_per_token,
    parameters,
    weight_bytes,
)
from sim.units import format_si


def _gpu(name: str) -> tuple[str, ...]:
    gpu = rows.gpu(name)
    peaks = [gpu.peak_flops.get(precision) for precision in ("bf16", "fp8")]
    return (
        f"{gpu.memory_bytes / 1e9:.1f} GB",
        f"{gpu.memory_bandwidth_bytes_per_s / 1e12:.2f} TB/s",
        *("-" if peak is None else f"{peak / 1e12:,.0f} TFLOP/s" for peak in peaks),
        f"{gpu.tdp_w:,.0f} W",
    )


def _node(name: str) -> tuple[str, ...]:
    node = rows.node_type(name)
    return (
        f"{node.gpus} {node.gpu}",
        format_si(node.max_w, "W"),
        format_si(node.base_w, "W"),
        format_si(node.fan_w, "W"),
        f"{node.nics} x {node.nic_bytes_per_s * 8 / 1e9:.0f} Gb/s",
    )


def _rack(name: str) -> tuple[str, ...]:
    rack = rows.rack_type(name)
    node = rows.node_type(rack.node_type)
    return (
        f"{rack.nodes} {rack.node_type}",
        f"{rack.nodes * node.gpus} {node.gpu}",
        format_si(rack.rating_w, "W"),
        f"per {rack.nvlink_domain}",
    )


def _llm(name: str) -> tuple[str, ...]:
    llm = rows.llm(name)
    return (
        f"{parameters(llm) / 1e9:.1f} B",
        f"{active_parameters(llm) / 1e9:.1f} B" if llm.experts else "all",
        f"{llm.layers}",
        f"{llm.windowed_layers or '-'}",
        f"{weight_bytes(llm, llm.native_precision) / 1e9:,.0f} GB {llm.native_precision}",
        f"{kv_bytes_per_token(llm, 'bf16') / 1024:,.0f} KiB",
    )


def _gear(name: str) -> tuple[str, ...]:
    curve = rows.gear_loss(name, 1.0)
    return tuple(
        f"{100 * (curve.a + x * (curve.b + x * curve.c)):.2f} % of rating" for x in (0.0, 0.5, 1.0)
    )


def _breaker(name: str) -> tuple[str, ...]:
    breaker = rows.breaker(name)
    cold = (breaker.seconds_left(0.0, load) for load in (1.25, 1.5, 2.0))
    return (
        *("holds" if s == inf else f"{s:,.0f} s" for s in cold),
        f"{100 * breaker.magnetic:,.0f} %",
    )


def _ups(name: str) -> tuple[str, ...]:
    product = rows.ups_product(name)
    mains, battery = product.inverter, product.battery
    carried = (mains.allowed_s(1.25), mains.allowed_s(1.5), battery.allowed_s(1.25))
    return (f"{100 * mains.continuous:.0f} %", *(f"{s:,g} s" for s in carried))


def _plant(name: str) -> tuple[str, ...]:
    plant = rows.plant(name)
    moving = plant.air_fans + plant.pumps + plant.tower_fans
    return (
        f"{plant.air_supply_c:g} C",
        f"{plant.liquid_supply_c:g} C",
        f"{100 * moving:.2g} % of design heat",
        f"{plant.water_m3_per_j * 3.6e9:.2g} L/kWh",
    )


def _precision(name: str) -> tuple[str, ...]:
    return (f"{rows.entry('precision', name).number('bits_per_weight'):g}",)


def _measured(name: str) -> tuple[str, ...]:
    steps = rows.measured_steps(name)
    return (
        f"{steps.llm} {steps.precision}",
        f"{steps.tensor_parallel} x {steps.gpu}",
        f"{steps.prefill_tokens[-1]:,} tokens",
        f"{steps.decode_sequences[-1]:,}",
    )


def _switch(name: str) -> tuple[str, ...]:
    switch = rows.switch(name)
    return (
        f"{switch.radix}",
        f"{switch.port_bytes_per_s * 8 / 1e9:.0f} Gb/s",
        format_si(switch.latency_s, "s"),
    )


def _link(name: str) -> tuple[str, ...]:
    link = rows.link(name)
    rate = "the device's" if link.bytes_per_s is None else f"{link.bytes_per_s / 1e9:.0f} GB/s"
    return rate, format_si(link.latency_s, "s"), f"{link.cables}"


def _superpod(name: str) -> tuple[str, ...]:
    entry = rows.entry("superpod", name)
    cables = sum(entry.count(key) for key in ("node_cables", "leaf_cables", "core_cables"))
    levels = (f"{entry.count(key) or '-'}" for key in ("leaves", "spines", "cores"))
    return f"{entry.count('nodes'):,} {entry.word('node')}", *levels, f"{cables:,}"


def _price(name: str) -> tuple[str, ...]:
    entry = rows.entry("price", name)
    return f"{entry.number('server'):,.0f} USD", entry.word("date")


def _cost(name: str) -> tuple[str, ...]:
    number = rows.entry("cost", name).number
    return (
        f"{number('building') + number('plant'):.1f} USD/W",
        f"{number('server_life'):g} years",
        f"{100 * number('discount_rate'):g} %",
        f"{number('electricity') * 3.6e9:.1f} USD/MWh",
    )


_NUMBERS: Mapping[str, Callable[[str], tuple[str, ...]]] = {
    "gpu": _gpu,
    "node": _node,
    "rack": _rack,
    "llm": _llm,
    "gear": _gear,
    "breaker": _breaker,
    "ups": _ups,
    "plant": _plant,
    "precision": _precision,
    "measured": _measured,
    "switch": _switch,
    "link": _link,
    "superpod": _superpod,
    "price": _price,
    "cost": _cost,
}


def main_numbers(kind: str, name: str) -> tuple[str, ...]:
    """The cells beside the name, under the headings of its kind."""
    return _NUMBERS[kind](name)
