"""From a checked entry to the frozen row that the engine uses; refuses what contradicts itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sim.catalog.protection import Breaker, Electronic, Overload, Thermal, UpsProduct
from sim.catalog.records import Entry
from sim.catalog.steps import parse_steps
from sim.catalog.types import CoolingPlant, Gpu, Link, Llm, Loss, Mla, NodeType, RackType, Switch
from sim.errors import DataError, did_you_mean


def _fail(entry: Entry, key: str, message: str) -> DataError:
    return DataError(entry.file, f"{entry.kind} {entry.name!r}: {message}", entry.field(key).line)


def to_gpu(entry: Entry) -> Gpu:
    """A GPU row.

    Raises:
        DataError: its idle, loaded and maximum draws, or its clocks, are not in order.
    """
    number = entry.number
    if not number("parked") <= number("loaded_idle") < number("tdp"):
        raise _fail(entry, "loaded_idle", "needs parked <= loaded_idle < tdp")
    if not 0 < number("min_clock") < number("max_clock"):
        raise _fail(entry, "max_clock", "needs 0 < min_clock < max_clock")
    return Gpu(
        name=entry.name,
        vendor=entry.word("vendor"),
        tdp_w=number("tdp"),
        memory_bytes=number("memory"),
        memory_bandwidth_bytes_per_s=number("memory_bandwidth"),
        peak_flops=entry.under("peak"),
        link_bytes_per_s=number("link_rate"),
        link=entry.word("link"),
        sms=entry.count("sms"),
        max_clock_hz=number("max_clock"),
        min_clock_hz=number("min_clock"),
        parked_w=number("parked"),
        loaded_idle_w=number("loaded_idle"),
    )


def to_loss(entry: Entry) -> Loss:
    """A loss curve per watt of rating: ``Loss(1, a, b, c)``."""
    return Loss(1.0, entry.number("a"), entry.number("b"), entry.number("c"))


def to_breaker(entry: Entry) -> Breaker:
    """A breaker preset.

    Raises:
        DataError: neither a thermal nor an electronic element, or both.
    """
    named = {field.key for field in entry.fields}
    thermal, electronic = {"trip_heat", "tau"}, {"pickup", "energy", "cooling"}
    number = entry.number
    element: Thermal | Electronic
    if thermal <= named and not electronic & named:
        element = Thermal(number("trip_heat"), number("tau"))
    elif electronic <= named and not thermal & named:
        element = Electronic(number("pickup"), number("energy"), number("cooling"))
    else:
        raise _fail(
            entry, "magnetic", "needs trip_heat and tau, or else pickup, energy and cooling"
        )
    return Breaker(entry.name, element, number("magnetic"))


def to_ups(entry: Entry) -> UpsProduct:
    """A UPS product.

    Raises:
        DataError: a table whose first step is not carried for ever.
    """
    return UpsProduct(
        entry.name, *(_overload(entry, key) for key in ("inverter", "battery", "bypass"))
    )


def _overload(entry: Entry, key: str) -> Overload:
    steps = parse_steps(entry.word(key).split("; "))
    if steps[0][1] != math.inf:
        raise _fail(entry, key, "its first step says what is carried continuously")
    return Overload(steps, entry.number("beyond"), entry.number("recovery"))


def to_switch(entry: Entry) -> Switch:
    """A switch.

    Raises:
        DataError: fewer than two ports, or ports without a rate.
    """
    if entry.count("radix") < 2 or not entry.number("port_rate") > 0.0:
        raise _fail(entry, "radix", "needs at least two ports and a rate above 0")
    return Switch(
        entry.name, entry.count("radix"), entry.number("port_rate"), entry.number("latency")
    )


def to_link(entry: Entry) -> Link:
    """A kind of link.

    Raises:
        DataError: no cable.
    """
    if entry.count("cables") < 1:
        raise _fail(entry, "cables", "needs at least one")
    rate = entry.number("rate") if entry.has("rate") else None
    return Link(entry.name, rate, entry.number("latency"), entry.count("cables"))


def rated(curve: Loss, rating_w: float) -> Loss:
    """The same curve for gear of ``rating_w`` watts."""
    return Loss(rating_w, curve.a, curve.b, curve.c)


def to_node(entry: Entry, gpus: Mapping[str, Gpu], gear: Mapping[str, Loss]) -> NodeType:
    """A server row.

    Raises:
        DataError: its GPU or power supply curve is not in the catalog.
    """
    for key, known in (("gpu", list(gpus)), ("psu", list(gear))):
        if entry.word(key) not in known:
            hint = did_you_mean(entry.word(key), known)
            raise _fail(entry, key, f"unknown {key} {entry.word(key)!r}{hint}")
    if entry.count("gpus") < 1:
        raise _fail(entry, "gpus", "needs at least one GPU")
    return NodeType(
        name=entry.name,
        gpu=entry.word("gpu"),
        gpus=entry.count("gpus"),
        base_w=entry.number("base"),
        fan_w=entry.number("fan"),
        max_w=entry.number("max"),
        psu=rated(gear[entry.word("psu")], entry.number("psu_rating")),
        nics=entry.count("nics"),
        nic_bytes_per_s=entry.number("nic_rate"),
        rack_units=entry.count("rack_units"),
    )


def to_rack(entry: Entry, nodes: Mapping[str, NodeType]) -> RackType:
    """A rack row.

    Raises:
        DataError: its node type is not in the catalog, its nodes' nameplates exceed its rating, its
            nodes do not fit into it, or its liquid takes up more than all heat.
    """
    name = entry.word("node")
    if name not in nodes:
        raise _fail(entry, "node", f"unknown node type {name!r}{did_you_mean(name, nodes)}")
    count, rating_w = entry.count("nodes"), entry.number("rating")
    needed_w = count * nodes[name].max_w
    if needed_w > rating_w:
        raise _fail(
            entry,
            "rating",
            f"{count} x {nodes[name].max_w:,.0f} W = {needed_w:,.0f} W exceed {rating_w:,.0f} W",
        )
    height, filled = entry.count("rack_units"), count * nodes[name].rack_units
    if filled > height:
        message = f"{count} x {nodes[name].rack_units} U = {filled} U exceed {height} U"
        raise _fail(entry, "rack_units", message)
    if entry.number("liquid_share") > 1.0:
        raise _fail(entry, "liquid_share", "liquid takes up at most 100 % of the heat")
    return RackType(
        name=entry.name,
        node_type=name,
        nodes=count,
        rating_w=rating_w,
        nvlink_domain=entry.word("nvlink_domain"),
        rack_units=height,
        weight_kg=entry.number("weight"),
        liquid_share=entry.number("liquid_share"),
    )


def to_plant(entry: Entry) -> CoolingPlant:
    """A cooling plant row; what its numbers may be is checked where a site sizes it."""
    number = entry.number
    return CoolingPlant(
        name=entry.name,
        air_supply_c=number("air_supply"),
        liquid_supply_c=number("liquid_supply"),
        rise_k=number("rise"),
        chiller_efficiency=number("chiller_efficiency"),
        evaporator_approach_k=number("evaporator_approach"),
        condenser_rise_k=number("condenser_rise"),
        condenser_approach_k=number("condenser_approach"),
        least_lift_k=number("least_lift"),
        part_load=number("part_load"),
        tower_approach_k=number("tower_approach"),
        exchanger_approach_k=number("exchanger_approach"),
        air_fans=number("air_fans"),
        liquid_fans=number("liquid_fans"),
        pumps=number("pumps"),
        tower_fans=number("tower_fans"),
        least_flow=number("least_flow"),
        flow_exponent=number("flow_exponent"),
        auxiliary=number("auxiliary"),
        water_m3_per_j=number("water"),
        coolant_heat_j_per_m3_k=number("coolant_heat"),
        cdu_flow_m3_per_j=number("cdu_flow"),
        cdu_rise_k=number("cdu_rise"),
    )


def to_llm(entry: Entry) -> Llm:
    """An LLM row.

    Raises:
        DataError: layer counts, heads or expert numbers contradict each other.
    """
    count = entry.count
    mla = entry.under("mla")
    checks = (
        ("dense_layers", count("dense_layers") <= count("layers"), "more dense layers than layers"),
        (
            "windowed_layers",
            count("windowed_layers") <= count("layers"),
            "more windows than layers",
        ),
        (
            "window",
            (count("window") > 0) == (count("windowed_layers") > 0),
            "window and windowed_layers go together",
        ),
        ("kv_heads", count("heads") % count("kv_heads") == 0, "kv_heads must divide heads"),
        (
            "experts",
            (count("experts") > 0) == (count("dense_layers") < count("layers")),
            "layers that are not dense need experts, and experts need such layers",
        ),
        (
            "experts",
            not count("experts") or not entry.has("gated_mlp") or bool(entry.number("gated_mlp")),
            "experts without a gate are not modelled",
        ),
        (
            "experts_per_token",
            count("experts_per_token") <= count("experts"),
            "a token cannot use more experts than there are",
        ),
    )
    for key, holds, message in checks:
        if not holds:
            raise _fail(entry, key, message)
    fields = (
        "layers hidden heads kv_heads head_dim ffn vocabulary dense_layers experts "
        "experts_per_token expert_ffn shared_ffn window windowed_layers max_context"
    )
    return Llm(
        name=entry.name,
        **{key: count(key) for key in fields.split()},
        tied_embeddings=bool(entry.number("tied_embeddings")),
        attention_bias=bool(entry.number("attention_bias")),
        qk_norm=bool(entry.number("qk_norm")),
        mla=Mla(**{key: round(value) for key, value in mla.items()}) if mla else None,
        native_precision=entry.word("native_precision"),
        published_parameters=entry.number("published_parameters"),
        published_active_parameters=entry.number("published_active_parameters"),
        gated_mlp=bool(entry.number("gated_mlp")) if entry.has("gated_mlp") else True,
        fp8_blocks=entry.has("fp8_blocks") and bool(entry.number("fp8_blocks")),
    )
