"""Parameters, weight bytes and KV bytes of an LLM, counted from its architecture.

A layer: query, key, value and output projections (or MLA's low-rank ones), two RMS norms, and an
MLP of three matrices (gate, up, down; two without a gate), dense or as experts behind a router.
Biases are counted where the architecture has them: with ``attention_bias`` on all four projections,
and in a mixture of experts then also on the router and the experts, with one attention sink per
head (gpt-oss is the one family in the catalog that has both).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sim.catalog.library import load
from sim.catalog.types import PRECISION_BYTES, Llm
from sim.errors import UnknownName


@dataclass(frozen=True)
class Parameters:
    """Counts by where they sit. ``small``: norms, biases and sinks, which stay in 16 bits."""

    embedding: int
    head: int  # 0 where it is the embedding itself
    attention: int
    dense_mlp: int
    experts: int  # routed experts of all layers, active or not
    shared: int
    router: int
    small: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, part.name) for part in fields(self))


def parameter_groups(llm: Llm) -> Parameters:
    """The LLM's parameters by group, over all layers."""
    hidden = llm.hidden
    moe_layers = llm.layers - llm.dense_layers
    table = llm.vocabulary * hidden
    attention, attention_small = _attention(llm)
    small = llm.layers * (attention_small + 2 * hidden) + hidden
    if llm.attention_bias and llm.experts:
        per_expert = 2 * llm.expert_ffn + hidden
        small += moe_layers * (llm.experts * (per_expert + 1) + llm.heads)
    return Parameters(
        embedding=table,
        head=0 if llm.tied_embeddings else table,
        attention=llm.layers * attention,
        dense_mlp=llm.dense_layers * (3 if llm.gated_mlp else 2) * hidden * llm.ffn,
        experts=moe_layers * llm.experts * 3 * hidden * llm.expert_ffn,
        shared=moe_layers * 3 * hidden * llm.shared_ffn,
        router=moe_layers * llm.experts * hidden,
        small=small,
    )


def _attention(llm: Llm) -> tuple[int, int]:
    """One layer's projections, and its norms and biases."""
    if llm.mla is not None:
        mla, heads = llm.mla, llm.heads
        query_dim = heads * (mla.nope_dim + mla.rope_dim)
        if mla.q_rank:
            query = llm.hidden * mla.q_rank + mla.q_rank * query_dim
        else:
            query = llm.hidden * query_dim
        down = llm.hidden * (mla.kv_rank + mla.rope_dim)
        up = mla.kv_rank * heads * (mla.nope_dim + mla.v_dim)
        return query + down + up + heads * mla.v_dim * llm.hidden, mla.q_rank + mla.kv_rank
    queries, keys = llm.heads * llm.head_dim, llm.kv_heads * llm.head_dim
    small = 2 * llm.head_dim if llm.qk_norm else 0
    if llm.attention_bias:
        small += queries + 2 * keys + llm.hidden
    return 2 * llm.hidden * (queries + keys), small


def parameters(llm: Llm) -> float:
    """All parameters, embeddings included."""
    return float(parameter_groups(llm).total)


def active_parameters(llm: Llm, *, input_embedding: bool = False) -> float:
    """The parameters that one token is multiplied with.

    The input embedding is a look-up, so it is left out unless asked for (publishers differ:
    gpt-oss's counts leave it out, Qwen3's and Mixtral's hold it). The head counts always.
    """
    groups = parameter_groups(llm)
    active = groups.total - groups.embedding - groups.experts
    if llm.tied_embeddings or input_embedding:
        active += groups.embedding
    if llm.experts:
        active += groups.experts * llm.experts_per_token // llm.experts
    return float(active)


def bits_per_weight(precision: str) -> float:
    """Bits of one quantised weight with its share of block scales (a row of ``data/``)."""
    return load().entry("precision", precision).number("bits_per_weight")


def weight_bytes(llm: Llm, precision: str) -> float:
    """Bytes of the weights when the LLM is served in ``precision``.

    Only matrices inside the layers are quantised. Embedding, head, router, norms and biases stay
    in bf16, as published checkpoints keep them. With fp4 and int4 a mixture of experts keeps its
    attention in bf16 too (gpt-oss's MXFP4 and DeepSeek-V3's NVFP4 checkpoints quantise the MLPs
    only). Block scales are inside ``bits_per_weight``.

    Raises:
        UnknownName: ``precision`` is not canonical.
    """
    if precision not in PRECISION_BYTES:
        raise UnknownName("precision", precision, PRECISION_BYTES)
    groups = parameter_groups(llm)
    quantised = groups.dense_mlp + groups.experts + groups.shared
    experts_only = bool(load().entry("precision", precision).number("moe_experts_only"))
    if not (llm.experts and experts_only):
        quantised += groups.attention
    kept = groups.total - quantised
    return quantised * bits_per_weight(precision) / 8 + kept * PRECISION_BYTES["bf16"]


def default_kv_precision(precision: str) -> str:
    """KV precision where a scenario states none: the weights' own if 8 or 16 bit, else fp8."""
    if precision == "bf16":
        return "bf16"
    return "fp8" if PRECISION_BYTES[precision] < 1 else precision


def kv_heads_per_rank(llm: Llm, tensor_parallel: int = 1) -> int:
    """KV heads that one tensor-parallel rank holds: divided down to one, never below."""
    return max(1, -(-llm.kv_heads // tensor_parallel))


def kv_bytes_per_token_layer(llm: Llm, kv_precision: str, tensor_parallel: int = 1) -> float:
    """KV bytes of one token in one layer on one rank.

    Keys and values of the rank's KV heads; for MLA the latent and the RoPE key, which every rank
    holds whole.
    """
    if llm.mla is not None:
        elements = llm.mla.kv_rank + llm.mla.rope_dim
    else:
        elements = 2 * kv_heads_per_rank(llm, tensor_parallel) * llm.head_dim
    return elements * PRECISION_BYTES[kv_precision]


def kv_bytes_per_token(llm: Llm, kv_precision: str, tensor_parallel: int = 1) -> float:
    """KV bytes of one more token on one rank while no window is full: all layers."""
    return llm.layers * kv_bytes_per_token_layer(llm, kv_precision, tensor_parallel)
