"""What each kind of catalog entry must say: keys, and the dimension or form of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Forms that are not a dimension of ``sim.units``.
WORD, FLAG, WHOLE, STEPS = "word", "flag", "whole", "steps"

#: Dimension → the SI unit that a value is kept in; the rest are plain numbers.
SI_UNIT: Mapping[str, str] = MappingProxyType(
    {
        "power": "W",
        "bytes": "B",
        "bytes_per_s": "B/s",
        "flops": "FLOP/s",
        "frequency": "Hz",
        "time": "s",
        "temperature": "C",
        "temperature_difference": "K",
        "mass": "kg",
        "volume_per_energy": "m3/J",
        "flow_per_power": "m3/s/W",
        "heat_capacity": "J/m3/K",
        "money": "USD",
        "money_per_power": "USD/W",
        "money_per_time": "USD/s",
        "money_per_energy": "USD/J",
        "carbon_per_energy": "g/J",
        "life": "years",
    }
)


@dataclass(frozen=True)
class Key:
    """One key of an entry.

    ``form`` is ``word``, ``flag``, ``whole``, ``steps`` (a list of overloads: see
    ``sim.catalog.steps``) or a dimension of ``sim.units``.

    ``choices`` limits a word. A key with ``members`` is a mapping: each member a key of its own
    (``any_member`` = at least one of them; otherwise all). ``optional`` keys may be left out.
    ``many``: a list of such values.
    """

    form: str
    choices: tuple[str, ...] = ()
    members: Mapping[str, Key] | None = None
    any_member: bool = False
    optional: bool = False
    many: bool = False


def _keys(form: str, names: str) -> dict[str, Key]:
    return {name: Key(form) for name in names.split()}


_PRECISIONS = ("bf16", "fp8", "int8", "fp4", "int4")

GPU: Mapping[str, Key] = MappingProxyType(
    {
        "vendor": Key(WORD),
        **_keys("power", "tdp parked loaded_idle"),
        **_keys("bytes", "memory"),
        **_keys("bytes_per_s", "memory_bandwidth link_rate"),
        "link": Key(WORD, choices=("nvlink", "xgmi", "pcie")),
        "peak": Key("", members={p: Key("flops") for p in _PRECISIONS}, any_member=True),
        **_keys(WHOLE, "sms"),
        **_keys("frequency", "max_clock min_clock"),
    }
)

NODE: Mapping[str, Key] = MappingProxyType(
    {
        "gpu": Key(WORD),
        **_keys(WHOLE, "gpus nics rack_units"),
        **_keys("power", "max base fan psu_rating"),
        "psu": Key(WORD),
        **_keys("bytes_per_s", "nic_rate"),
    }
)

RACK: Mapping[str, Key] = MappingProxyType(
    {
        "node": Key(WORD),
        **_keys(WHOLE, "nodes"),
        **_keys("power", "rating"),
        "nvlink_domain": Key(WORD, choices=("node", "rack")),
        **_keys(WHOLE, "rack_units"),
        **_keys("mass", "weight"),
        **_keys("fraction", "liquid_share"),
    }
)

LLM: Mapping[str, Key] = MappingProxyType(
    {
        **_keys(WHOLE, "layers hidden heads kv_heads head_dim ffn vocabulary dense_layers"),
        **_keys(WHOLE, "experts experts_per_token expert_ffn shared_ffn"),
        **_keys(WHOLE, "window windowed_layers max_context"),
        **_keys(FLAG, "tied_embeddings attention_bias qk_norm"),
        "gated_mlp": Key(FLAG, optional=True),
        "fp8_blocks": Key(FLAG, optional=True),
        "mla": Key(
            "", members=_keys(WHOLE, "kv_rank rope_dim q_rank nope_dim v_dim"), optional=True
        ),
        "native_precision": Key(WORD, choices=_PRECISIONS),
        **_keys("count", "published_parameters published_active_parameters"),
        "active_counts": Key(WORD, choices=("all", "no-input-embedding")),
    }
)

LOSS: Mapping[str, Key] = MappingProxyType(_keys("fraction", "a b c"))

BREAKER: Mapping[str, Key] = MappingProxyType(
    {
        "trip_heat": Key("count", optional=True),
        "tau": Key("time", optional=True),
        "pickup": Key("count", optional=True),
        "energy": Key("time", optional=True),
        "cooling": Key("time", optional=True),
        "magnetic": Key("count"),
        "points": Key(STEPS, optional=True),
        "fit_error": Key("fraction", optional=True),
    }
)

UPS: Mapping[str, Key] = MappingProxyType(
    {
        **_keys(STEPS, "inverter battery bypass"),
        **_keys("time", "beyond recovery"),
    }
)

PLANT: Mapping[str, Key] = MappingProxyType(
    {
        **_keys("temperature", "air_supply liquid_supply"),
        **_keys("temperature_difference", "rise evaporator_approach condenser_rise"),
        **_keys("temperature_difference", "condenser_approach least_lift"),
        **_keys("temperature_difference", "tower_approach exchanger_approach cdu_rise"),
        **_keys("fraction", "chiller_efficiency part_load air_fans liquid_fans pumps"),
        **_keys("fraction", "tower_fans least_flow auxiliary"),
        **_keys("count", "flow_exponent"),
        **_keys("volume_per_energy", "water"),
        **_keys("heat_capacity", "coolant_heat"),
        **_keys("flow_per_power", "cdu_flow"),
    }
)

SWITCH: Mapping[str, Key] = MappingProxyType(
    {
        **_keys(WHOLE, "radix"),
        **_keys("bytes_per_s", "port_rate"),
        **_keys("time", "latency"),
    }
)

LINK: Mapping[str, Key] = MappingProxyType(
    {
        "rate": Key("bytes_per_s", optional=True),
        **_keys("time", "latency"),
        **_keys(WHOLE, "cables"),
    }
)

SUPERPOD: Mapping[str, Key] = MappingProxyType(
    {
        "node": Key(WORD),
        **_keys(WHOLE, "units nodes leaves spines cores"),
        **_keys(WHOLE, "node_cables manager_cables leaf_cables core_cables"),
    }
)

PRICE: Mapping[str, Key] = MappingProxyType({"server": Key("money"), "date": Key(WORD)})

COST: Mapping[str, Key] = MappingProxyType(
    {
        **_keys("money", "switch_port cable"),
        **_keys("fraction", "network_share discount_rate maintenance"),
        **_keys("money_per_power", "building plant"),
        **_keys("life", "server_life network_life facility_life"),
        "staff": Key("money_per_time"),
        "electricity": Key("money_per_energy"),
        "carbon": Key("carbon_per_energy"),
    }
)

PRECISION: Mapping[str, Key] = MappingProxyType(
    {
        **_keys("count", "bits_per_weight"),
        "moe_experts_only": Key(FLAG),
    }
)

MEASURED: Mapping[str, Key] = MappingProxyType(
    {
        "llm": Key(WORD),
        "gpu": Key(WORD),
        **_keys(WHOLE, "tensor_parallel"),
        "precision": Key(WORD, choices=_PRECISIONS),
        "idle": Key("fraction"),
        "prefill": Key(
            "",
            members={
                "tokens": Key(WHOLE, many=True),
                "time": Key("time", many=True),
                "draw": Key("fraction", many=True),
            },
        ),
        "decode": Key(
            "",
            members={
                "sequences": Key(WHOLE, many=True),
                "time": Key("time", many=True),
                "draw": Key("fraction", many=True),
            },
        ),
        "context": Key(
            "",
            members={
                "reference": Key(WHOLE),
                "tokens": Key(WHOLE, many=True),
                "draw": Key("fraction", many=True),
                "time_per_token": Key("time"),
            },
            optional=True,
        ),
        "clock": Key(
            "",
            members={
                **_keys("fraction", "prefill_memory_share decode_memory_share voltage_at_zero"),
                **_keys("count", "decode_slowdown"),
                **_keys("fraction", "decode_knee"),
            },
        ),
        "levels": Key("", members=_keys("frequency", "highest lowest step brake"), optional=True),
    }
)
