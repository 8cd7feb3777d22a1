"""What one rank of a tensor-parallel group holds and computes: matrix products, experts, KV cache.

Counts only; seconds are in ``timing``, bytes per GPU in ``memory``. Shapes follow the usual
column-then-row split: QKV and gate/up are cut by columns, attention output and down by rows, the
vocabulary by rows; KV heads are divided down to one per rank, then repeated; the latent
projections of MLA and the routers are repeated on every rank.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.catalog.arithmetic import (
    bits_per_weight,
    kv_bytes_per_token_layer,
    kv_heads_per_rank,
    parameter_groups,
)
from sim.catalog.library import load
from sim.catalog.types import PRECISION_BYTES, Gpu, Llm
from sim.errors import RackplanError, UnknownName

HALF = PRECISION_BYTES["bf16"]  # bytes of an activation, a norm, an embedding


class UnsupportedPlan(RackplanError):
    """A precision or a parallel layout that this GPU or this LLM cannot have."""


@dataclass(frozen=True)
class Arithmetic:
    """How a product is computed: bytes per operand element and the precision of the multipliers."""

    precision: str  # names the peak and the fitted constants
    weight_bytes: float
    activation_bytes: float


PLAIN = Arithmetic("bf16", HALF, HALF)


@dataclass(frozen=True)
class Product:
    """``layers`` products [m, k] × [k, n] on one rank."""

    n: int
    k: int
    layers: float
    arithmetic: Arithmetic

    @property
    def bytes(self) -> float:
        """Bytes of its weights, over all layers."""
        return self.n * self.k * self.layers * self.arithmetic.weight_bytes


@dataclass(frozen=True)
class Experts:
    """The routed experts of ``layers`` layers on one rank, uniformly chosen."""

    experts: int
    per_token: int
    hidden: int
    ffn: int  # of this rank
    layers: float
    arithmetic: Arithmetic

    @property
    def bytes_each(self) -> float:
        """Bytes of one expert of one layer: gate, up and down."""
        return 3.0 * self.hidden * self.ffn * self.arithmetic.weight_bytes

    @property
    def bytes(self) -> float:
        """Bytes of all experts over all layers."""
        return self.bytes_each * self.experts * self.layers


@dataclass(frozen=True)
class Attention:
    """Attention of ``layers`` layers on one rank, per token and per query-key pair."""

    layers: float
    kv_bytes: float  # read per context token and layer
    decode_flops: float  # per context token and layer
    pair_flops: float  # per query-key pair and layer, prefill
    head_dim: int


@dataclass(frozen=True)
class Shard:
    """One rank of one pipeline stage."""

    layers: float
    products: tuple[Product, ...]
    experts: Experts | None
    full: Attention
    windowed: Attention
    head: Product  # LM head, on the last stage
    embedding_bytes: float  # on the first stage; 0 where it is the head itself
    small_bytes: float  # norms, biases, sinks; every rank holds them whole
    hidden: int
    inner: int  # widest inner activation of this rank (MLP or attention)

    @property
    def weight_bytes(self) -> float:
        """Weights of the stage's layers, without embedding and head."""
        return (
            sum(product.bytes for product in self.products)
            + (self.experts.bytes if self.experts else 0.0)
            + self.small_bytes
        )


def arithmetic(llm: Llm, gpu: Gpu, precision: str) -> tuple[Arithmetic, Arithmetic]:
    """The arithmetic of the attention's projections, and that of MLPs and experts.

    int4, int8 without int8 multipliers, and the published 4-bit weights of an LLM whose native
    precision is fp4 on a GPU without fp4 are weight-only: read in few bits, multiplied in bf16.
    Which weights stay in bf16 is the catalog's rule (``catalog.arithmetic.weight_bytes``).

    Raises:
        UnknownName: ``precision`` is not canonical.
        UnsupportedPlan: the GPU has no multipliers for this precision.
    """
    if precision not in PRECISION_BYTES:
        raise UnknownName("precision", precision, PRECISION_BYTES)
    weight = bits_per_weight(precision) / 8
    if precision in gpu.peak_flops:
        chosen = Arithmetic(precision, weight, PRECISION_BYTES[precision])
    elif precision in ("int4", "int8") or precision == llm.native_precision == "fp4":
        chosen = Arithmetic("bf16", weight, HALF)
    else:
        raise UnsupportedPlan(
            f"{gpu.name} has no {precision} arithmetic (it has {', '.join(gpu.peak_flops)})"
        )
    experts_only = bool(load().entry("precision", precision).number("moe_experts_only"))
    attention = PLAIN if llm.experts and experts_only else chosen
    return attention, chosen


def check_parallel(llm: Llm, tensor_parallel: int, pipeline_parallel: int) -> None:
    """Raises ``UnsupportedPlan`` unless both degrees divide what they cut."""
    if tensor_parallel < 1 or llm.heads % tensor_parallel:
        raise UnsupportedPlan(
            f"tensor_parallel {tensor_parallel} does not divide the {llm.heads} attention heads "
            f"of {llm.name} (try {_divisors(llm.heads)})"
        )
    kv = llm.kv_heads
    if llm.mla is None and kv % tensor_parallel and tensor_parallel % kv:
        raise UnsupportedPlan(
            f"tensor_parallel {tensor_parallel} neither divides the {kv} KV heads of {llm.name} "
            "nor is a multiple of them"
        )
    widths = {"ffn": llm.ffn, "expert_ffn": llm.expert_ffn, "shared_ffn": llm.shared_ffn}
    for name, width in widths.items():
        if width % tensor_parallel:
            raise UnsupportedPlan(
                f"tensor_parallel {tensor_parallel} does not divide {name} {width} of {llm.name}"
            )
    if not 1 <= pipeline_parallel <= llm.layers:
        raise UnsupportedPlan(
            f"pipeline_parallel {pipeline_parallel} is not between 1 and the {llm.layers} layers "
            f"of {llm.name}"
        )


def _divisors(number: int) -> str:
    return ", ".join(str(d) for d in (1, 2, 4, 8, 16, 32, 64) if number % d == 0)


def shard(
    llm: Llm, gpu: Gpu, precision: str, kv_precision: str, tensor_parallel: int, layers: int
) -> Shard:
    """One rank of a stage of ``layers`` layers, each kind of layer in its share of the LLM's."""
    attention, mlp = arithmetic(llm, gpu, precision)
    part = layers / llm.layers
    ranks = tensor_parallel
    vocabulary = -(-llm.vocabulary // ranks)
    products = [*_attention_products(llm, attention, ranks, layers)]
    experts = None
    moe_layers = (llm.layers - llm.dense_layers) * part if llm.experts else 0.0
    dense_layers = layers - moe_layers
    for ffn, count in ((llm.ffn, dense_layers), (llm.shared_ffn, moe_layers)):
        if ffn and count:
            into = 2 * ffn if llm.gated_mlp else ffn
            products.append(Product(into // ranks, llm.hidden, count, mlp))
            products.append(Product(llm.hidden, ffn // ranks, count, mlp))
    if moe_layers:
        products.append(Product(llm.experts, llm.hidden, moe_layers, PLAIN))
        experts = Experts(
            llm.experts,
            llm.experts_per_token,
            llm.hidden,
            llm.expert_ffn // ranks,
            moe_layers,
            mlp,
        )
    windowed = llm.windowed_layers * part
    head = Product(vocabulary, llm.hidden, 1.0, PLAIN)
    return Shard(
        layers=layers,
        products=tuple(products),
        experts=experts,
        full=_attention(llm, kv_precision, ranks, layers - windowed),
        windowed=_attention(llm, kv_precision, ranks, windowed),
        head=head,
        embedding_bytes=0.0 if llm.tied_embeddings else head.bytes,
        small_bytes=parameter_groups(llm).small * part * HALF,
        hidden=llm.hidden,
        inner=_inner(llm) // ranks,
    )


def _inner(llm: Llm) -> int:
    """Elements that MLP and attention pass between their products, per token, over all ranks."""
    mlp = llm.experts_per_token * llm.expert_ffn + llm.shared_ffn if llm.experts else llm.ffn
    return mlp + llm.heads * llm.head_dim


def _attention_products(
    llm: Llm, projection: Arithmetic, ranks: int, layers: float
) -> tuple[Product, ...]:
    heads = llm.heads // ranks
    if llm.mla is None:
        kv_heads = kv_heads_per_rank(llm, ranks)
        return (
            Product((heads + 2 * kv_heads) * llm.head_dim, llm.hidden, layers, projection),
            Product(llm.hidden, heads * llm.head_dim, layers, projection),
        )
    mla = llm.mla
    query = heads * (mla.nope_dim + mla.rope_dim)
    down = mla.kv_rank + mla.rope_dim + mla.q_rank
    query_depth = mla.q_rank or llm.hidden
    return (
        Product(down, llm.hidden, layers, projection),
        Product(query, query_depth, layers, projection),
        Product(heads * (mla.nope_dim + mla.v_dim), mla.kv_rank, layers, projection),
        Product(llm.hidden, heads * mla.v_dim, layers, projection),
    )


def _attention(llm: Llm, kv_precision: str, ranks: int, layers: float) -> Attention:
    heads = llm.heads // ranks
    kv_bytes = kv_bytes_per_token_layer(llm, kv_precision, ranks)
    if llm.mla is None:
        flops = 4.0 * heads * llm.head_dim
        return Attention(layers, kv_bytes, flops, flops, llm.head_dim)
    mla = llm.mla
    latent = mla.kv_rank + mla.rope_dim
    return Attention(
        layers,
        kv_bytes,
        2.0 * heads * (latent + mla.kv_rank),  # queries and values in the latent space
        2.0 * heads * (mla.nope_dim + mla.rope_dim + mla.v_dim),
        mla.nope_dim + mla.rope_dim,
    )
