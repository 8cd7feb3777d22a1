"""What the catalog knows about hardware and LLMs, as frozen rows in SI units.

Each number's source, licence and mark (read or assumed) live beside it in ``data/`` and are shown
by ``rackplan catalog``; the engine needs only the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Canonical precisions and their bytes per weight or per KV element.
PRECISION_BYTES: Mapping[str, float] = {
    "bf16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "fp4": 0.5,
    "int4": 0.5,
}


@dataclass(frozen=True)
class Gpu:
    """One GPU type. Peaks are dense (no 2:4 sparsity); NVLink is counted in one direction."""

    name: str
    vendor: str
    tdp_w: float
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    peak_flops: Mapping[str, float]  # precision → FLOP/s; a precision it lacks is absent
    link_bytes_per_s: float  # NVLink or xGMI per GPU, one direction; PCIe where it has neither
    link: str  # "nvlink", "xgmi" or "pcie"
    sms: int
    max_clock_hz: float
    min_clock_hz: float
    parked_w: float  # no replica on it: no context
    loaded_idle_w: float  # a replica resident, waiting for requests


@dataclass(frozen=True)
class Loss:
    """Conversion loss: ``in = out + rating·(a + b·x + c·x²)`` with x = out/rating."""

    rating_w: float
    a: float
    b: float
    c: float


@dataclass(frozen=True)
class NodeType:
    """A server: its GPUs, the power it needs besides them, and its power supplies."""

    name: str
    gpu: str
    gpus: int
    base_w: float  # CPUs, memory, NICs, storage, fans at rest: constant
    fan_w: float  # extra at full GPU draw; grows with the cube of Σ draw / Σ TDP
    max_w: float  # nameplate, at the power cord
    psu: Loss
    nics: int
    nic_bytes_per_s: float
    rack_units: int


@dataclass(frozen=True)
class RackType:
    """A rack: how many nodes of one type, its power limit, how far NVLink reaches."""

    name: str
    node_type: str
    nodes: int
    rating_w: float
    nvlink_domain: str  # "node" or "rack"
    rack_units: int  # of the rack itself, not of the servers in it
    weight_kg: float  # with its servers
    liquid_share: float  # of its heat that liquid takes up; the air takes the rest


@dataclass(frozen=True)
class Switch:
    """A switch of the network between servers."""

    name: str
    radix: int  # ports, each at ``port_bytes_per_s`` in either direction
    port_bytes_per_s: float
    latency_s: float  # from port to port, with the cable after it


@dataclass(frozen=True)
class Link:
    """A kind of link inside servers; ``bytes_per_s`` None: the GPU's or the NIC's own rate."""

    name: str
    bytes_per_s: float | None
    latency_s: float
    cables: int


@dataclass(frozen=True)
class CoolingPlant:
    """A cooling plant before it is sized: ``docs/cooling.md`` says what each number does.

    Fans, pumps and tower are power at full flow as shares of the heat a loop is designed for.
    """

    name: str
    air_supply_c: float
    liquid_supply_c: float
    rise_k: float
    chiller_efficiency: float
    evaporator_approach_k: float
    condenser_rise_k: float
    condenser_approach_k: float
    least_lift_k: float
    part_load: float
    tower_approach_k: float
    exchanger_approach_k: float
    air_fans: float
    liquid_fans: float
    pumps: float
    tower_fans: float
    least_flow: float
    flow_exponent: float
    auxiliary: float
    water_m3_per_j: float
    coolant_heat_j_per_m3_k: float
    cdu_flow_m3_per_j: float  # (m³/s) per W
    cdu_rise_k: float


@dataclass(frozen=True)
class Mla:
    """Multi-head latent attention (arXiv 2405.04434): the dimensions of its projections."""

    kv_rank: int  # compressed KV, cached
    rope_dim: int  # decoupled RoPE key, cached
    q_rank: int  # 0: queries are not compressed
    nope_dim: int  # per-head query/key part without RoPE
    v_dim: int  # per-head value


@dataclass(frozen=True)
class Llm:
    """One LLM's architecture: enough for its weights, FLOPs and KV bytes.

    ``layers`` = ``dense_layers`` + the rest; with ``experts`` = 0 all layers are dense. A layer's
    MLP has three matrices (gate, up, down), or two (up, down) where it is not ``gated_mlp``.
    ``windowed_layers`` of the layers attend to the last ``window`` tokens only.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int  # of the dense layers; 0 if there is none
    vocabulary: int
    tied_embeddings: bool
    dense_layers: int
    experts: int
    experts_per_token: int
    expert_ffn: int
    shared_ffn: int  # shared experts, summed; 0 if there is none
    window: int  # 0: every layer sees the whole context
    windowed_layers: int
    mla: Mla | None
    attention_bias: bool
    qk_norm: bool
    max_context: int
    native_precision: str
    published_parameters: float
    published_active_parameters: float
    gated_mlp: bool = True
    fp8_blocks: bool = False  # the published fp8 weights have a scale per block, not per tensor
