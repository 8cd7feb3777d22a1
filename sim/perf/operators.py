"""What one rank of a stage holds and computes: matrix products, experts, KV cache.

Counts only; seconds are in ``timing``, bytes per GPU in ``memory``. Shapes follow the usual
column-then-row split: QKV and gate/up are cut by columns, attention output and down by rows, the
vocabulary by rows; KV heads are divided down to one per rank, then repeated; the latent
projections of MLA and the routers are repeated on every rank.

``tensor_parallel`` GPUs share each layer. With data-parallel attention they are that many groups,
each with a copy of all but the routed experts and with sequences of its own; a group's GPUs split
what the copy holds. With expert parallelism that many parts of the GPUs hold whole experts, and
the GPUs of one part split each of its experts.
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
    block_scaled: bool = False  # weights with a scale per block


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
    """The routed experts of ``layers`` layers on one rank."""

    experts: int  # over all ranks
    per_token: int
    hidden: int
    ffn: int  # of this rank
    layers: float
    arithmetic: Arithmetic
    parallel: int = 1  # parts of the ranks that hold whole experts
    routing: str = "uniform"  # one of ``experts.ROUTINGS``

    @property
    def bytes_each(self) -> float:
        """Bytes of one expert of one layer: gate, up and down."""
        return 3.0 * self.hidden * self.ffn * self.arithmetic.weight_bytes

    @property
    def bytes(self) -> float:
        """Bytes of this rank's experts over all layers."""
        return self.bytes_each * self.experts / self.parallel * self.layers


@dataclass(frozen=True)
class Attention:
    """Attention of ``layers`` layers on one rank, per token and per query-key pair."""

    layers: float
    kv_bytes: float  # read per context token and layer
    decode_flops: float  # per context token and layer
    pair_flops: float  # per query-key pair and layer, prefill
    head_dim: int
    heads: int  # of queries
    kv_heads: int
    latent: bool  # MLA: all heads read one latent


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
    inner: int  # widest inner activation of this rank (MLP or attention), per token of its group
    groups: int = 1  # of data-parallel attention; each has its own sequences

    @property
    def quantised_products(self) -> float:
        """Products whose activations are quantised first, over all layers."""
        return sum(p.layers for p in self.products if p.arithmetic.activation_bytes < HALF)

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
        blocks = llm.fp8_blocks and precision == "fp8"
        chosen = Arithmetic(precision, weight, PRECISION_BYTES[precision], blocks)
    elif precision in ("int4", "int8") or precision == llm.native_precision == "fp4":
        chosen = Arithmetic("bf16", weight, HALF)
    else:
        raise UnsupportedPlan(
            f"{gpu.name} has no {precision} arithmetic (it has {', '.join(gpu.peak_flops)})"
        )
    experts_only = bool(load().entry("precision", precision).number("moe_experts_only"))
    attention = PLAIN if llm.experts and experts_only else chosen
    return attention, chosen


def check_parallel(
    llm: Llm,
    tensor_parallel: int,
    pipeline_parallel: int,
    expert_parallel: int = 1,
    data_parallel_attention: int = 1,
) -> None:
    """Raises ``UnsupportedPlan`` unless every degree divides what it cuts."""
    check_expert_parallel(llm, tensor_parallel, expert_parallel)
    check_groups(llm, tensor_parallel, data_parallel_attention)
    split = tensor_parallel // data_parallel_attention  # GPUs of a group
    within = "" if split == tensor_parallel else f" / data_parallel_attention = {split}"
    if split < 1 or llm.heads % split:
        raise UnsupportedPlan(
            f"tensor_parallel {tensor_parallel}{within} does not divide the {llm.heads} attention "
            f"heads of {llm.name} (try {_divisors(llm.heads)})"
        )
    kv = llm.kv_heads
    if llm.mla is None and kv % split and split % kv:
        raise UnsupportedPlan(
            f"tensor_parallel {tensor_parallel}{within} neither divides the {kv} KV heads of "
            f"{llm.name} nor is a multiple of them"
        )
    for name, width, ranks in (
        ("ffn", llm.ffn, split),
        ("shared_ffn", llm.shared_ffn, split),
        ("expert_ffn", llm.expert_ffn, tensor_parallel // expert_parallel),
    ):
        if width % ranks:
            cut = "" if ranks == tensor_parallel else f" (over {ranks} GPUs)"
            raise UnsupportedPlan(
                f"tensor_parallel {tensor_parallel}{cut} does not divide {name} {width} of "
                f"{llm.name}"
            )
    if not 1 <= pipeline_parallel <= llm.layers:
        raise UnsupportedPlan(
            f"pipeline_parallel {pipeline_parallel} is not between 1 and the {llm.layers} layers "
            f"of {llm.name}"
        )


def check_expert_parallel(llm: Llm, tensor_parallel: int, expert_parallel: int) -> None:
    """Raises ``UnsupportedPlan`` unless whole experts can be on parts of the GPUs."""
    if expert_parallel == 1:
        return
    if not llm.experts:
        raise UnsupportedPlan(f"{llm.name} has no experts: leave expert_parallel out")
    if expert_parallel < 1 or tensor_parallel % expert_parallel:
        raise UnsupportedPlan(
            f"expert_parallel {expert_parallel} does not divide tensor_parallel {tensor_parallel}, "
            f"the GPUs that share each layer (try {_divisors(tensor_parallel)})"
        )
    if llm.experts % expert_parallel:
        raise UnsupportedPlan(
            f"expert_parallel {expert_parallel} does not divide the {llm.experts} experts of "
            f"{llm.name} (try {_divisors(llm.experts)})"
        )


def check_groups(llm: Llm, tensor_parallel: int, data_parallel_attention: int) -> None:
    """Raises ``UnsupportedPlan`` unless the GPUs are so many groups with sequences of their own."""
    if data_parallel_attention == 1:
        return
    if not llm.experts:
        raise UnsupportedPlan(
            f"{llm.name} has no experts that groups would share: leave data_parallel_attention "
            "out; independent copies are replicas"
        )
    if data_parallel_attention < 1 or tensor_parallel % data_parallel_attention:
        raise UnsupportedPlan(
            f"data_parallel_attention {data_parallel_attention} does not divide tensor_parallel "
            f"{tensor_parallel}, the GPUs that share each layer (try {_divisors(tensor_parallel)})"
        )


def check_one_domain(data_parallel_attention: int, domains: int) -> None:
    """Raises ``UnsupportedPlan`` where groups of attention are in several NVLink domains."""
    if data_parallel_attention > 1 and domains > 1:
        raise UnsupportedPlan(
            "data_parallel_attention needs its GPUs in one NVLink domain: experts in other "
            "servers, reached over the network, are not modelled"
        )


def _divisors(number: int) -> str:
    return ", ".join(str(d) for d in (1, 2, 4, 8, 16, 32, 64) if number % d == 0)


def shard(
    llm: Llm,
    gpu: Gpu,
    precision: str,
    kv_precision: str,
    tensor_parallel: int,
    layers: int,
    *,
    expert_parallel: int = 1,
    data_parallel_attention: int = 1,
    expert_routing: str = "uniform",
) -> Shard:
    """One rank of a stage of ``layers`` layers, each kind of layer in its share of the LLM's."""
    attention, mlp = arithmetic(llm, gpu, precision)
    part = layers / llm.layers
    ranks = tensor_parallel // data_parallel_attention
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
            llm.expert_ffn // (tensor_parallel // expert_parallel),
            moe_layers,
            mlp,
            expert_parallel,
            expert_routing,
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
        groups=data_parallel_attention,
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
        kv_heads = kv_heads_per_rank(llm, ranks)
        return Attention(layers, kv_bytes, flops, flops, llm.head_dim, heads, kv_heads, False)
    mla = llm.mla
    latent = mla.kv_rank + mla.rope_dim
    return Attention(
        layers,
        kv_bytes,
        2.0 * heads * (latent + mla.kv_rank),  # queries and values in the latent space
        2.0 * heads * (mla.nope_dim + mla.rope_dim + mla.v_dim),
        mla.nope_dim + mla.rope_dim,
        heads,
        heads,
        True,
    )
