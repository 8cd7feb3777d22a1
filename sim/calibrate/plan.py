"""What is worth timing: layers of real LLMs, and a design that fills the space between them.

Every candidate has a weight, its worth beside the others before anything is known; ``order`` then
takes the one that tells most per second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sim.calibrate.kernel import Kernel
from sim.catalog.library import load
from sim.catalog.types import Gpu, Llm
from sim.perf.operators import UnsupportedPlan, check_parallel, shard

#: Rows of a product: from one decoding sequence to the longest batch of prompts.
ROWS = tuple(1 << i for i in range(15))
#: Tensor-parallel degrees by which layers are cut.
RANKS = (1, 2, 4, 8)
SPACE_FILLING = 96  # (n, k) pairs
SPACE_EDGES = (256, 32768)  # of n and k
SPACE_STEP = 64  # n and k are multiples of this
CONTEXTS = (128, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
SEQUENCES = (1, 4, 16, 64, 256)
PROMPTS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384)

#: Worth of a kind. Those with one or two sizes are known after a few timings, so they come first;
#: of the others a serving step is mostly products, then attention, then the rest.
WEIGHTS = {
    "gemm": 1.0,
    "decode_attention": 0.7,
    "prefill_attention": 0.6,
    "all_reduce": 1.5,
    "copy": 3.0,
    "triad": 1.5,
    "rms_norm": 0.6,
    "silu_mul": 0.6,
    "host_to_device": 1.0,
    "device_to_host": 1.0,
    "peer_copy": 1.0,
}
#: Worth of a data type beside bf16, which serving uses; where there is no bf16 it does not matter.
DTYPE_WEIGHTS = {"bf16": 1.0, "fp16": 0.4, "fp32": 0.3}
#: Worth of a product of no real layer beside one of a real layer.
BETWEEN = 0.6
#: Worth of a product with a side below ``SMALL_SIDE`` (routers): the fit leaves it out.
SMALL, SMALL_SIDE = 0.1, 512


@dataclass(frozen=True)
class Candidate:
    """A kernel and its worth before anything is known."""

    kernel: Kernel
    weight: float


def candidates(gpus: int) -> tuple[Candidate, ...]:
    """All kernels that a calibration may time, on a machine with so many GPUs."""
    catalog = load()
    gpu = next(gpu for gpu in catalog.gpus.values() if "bf16" in gpu.peak_flops)
    pairs, heads, widths = _layers(catalog.llms.values(), gpu)
    found = dict.fromkeys(_products(pairs), 1.0)
    for kernel in _products(space_filling(SPACE_FILLING)):
        found.setdefault(kernel, BETWEEN)
    hidden = sorted({llm.hidden for llm in catalog.llms.values()})
    for kernel in (*_attention(heads), *_fused(hidden, widths), *_copies(gpus)):
        found.setdefault(kernel, 1.0)
    return tuple(Candidate(kernel, worth * _of_family(kernel)) for kernel, worth in found.items())


def _of_family(kernel: Kernel) -> float:
    small = kernel.kind == "gemm" and min(kernel.shape) < SMALL_SIDE
    return WEIGHTS[kernel.kind] * DTYPE_WEIGHTS[kernel.dtype] * (SMALL if small else 1.0)


def space_filling(count: int) -> list[tuple[int, int]]:
    """(n, k) pairs spread evenly in octaves: a Halton sequence in bases 2 and 3."""
    low, high = SPACE_EDGES
    pairs: dict[tuple[int, int], None] = {}
    index = 0
    while len(pairs) < count:
        index += 1
        n, k = (low * (high / low) ** radical_inverse(index, base) for base in (2, 3))
        pairs[_rounded(n), _rounded(k)] = None
    return list(pairs)


def radical_inverse(index: int, base: int) -> float:
    """The digits of ``index`` in ``base``, mirrored at the point: Halton's sequence, in [0, 1)."""
    value, place = 0.0, 1.0
    while index:
        place /= base
        index, digit = divmod(index, base)
        value += digit * place
    return value


def _rounded(size: float) -> int:
    return max(round(size / SPACE_STEP), 1) * SPACE_STEP


def _layers(
    llms: Iterable[Llm], gpu: Gpu
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]], list[int]]:
    """(n, k) of products, (query heads, KV heads, head dimension), widths of MLPs: of one rank."""
    pairs: set[tuple[int, int]] = set()
    heads: set[tuple[int, int, int]] = set()
    widths: set[int] = set()
    for llm in llms:
        for ranks in RANKS:
            try:
                check_parallel(llm, ranks, 1)
            except UnsupportedPlan:
                continue
            rank = shard(llm, gpu, "bf16", "bf16", ranks, llm.layers)
            pairs |= {(product.n, product.k) for product in (*rank.products, rank.head)}
            widths |= {w // ranks for w in (llm.ffn, llm.expert_ffn, llm.shared_ffn) if w}
            if llm.mla is None:
                kv_heads = max(llm.kv_heads // ranks, 1)
                heads.add((llm.heads // ranks, kv_heads, llm.head_dim))
    # Attention kernels take whole groups of queries per KV head.
    whole = sorted(shape for shape in heads if shape[0] % shape[1] == 0)
    return sorted(pairs), whole, sorted(widths)


def _products(pairs: Iterable[tuple[int, int]]) -> Iterator[Kernel]:
    for n, k in pairs:
        for m in ROWS:
            for dtype in ("bf16", "fp16", "fp32"):
                yield Kernel("gemm", dtype, (m, n, k))


def _attention(heads: Iterable[tuple[int, int, int]]) -> Iterator[Kernel]:
    for shape in heads:
        for dtype in ("bf16", "fp32"):
            for context in CONTEXTS:
                for sequences in SEQUENCES:
                    yield Kernel("decode_attention", dtype, (sequences, context, *shape))
            for tokens in PROMPTS:
                yield Kernel("prefill_attention", dtype, (tokens, *shape))


def _fused(hidden: Iterable[int], widths: Iterable[int]) -> Iterator[Kernel]:
    for dtype in ("bf16", "fp32"):
        for tokens in TOKENS:
            for width in hidden:
                yield Kernel("rms_norm", dtype, (tokens, width))
            for width in widths:
                yield Kernel("silu_mul", dtype, (tokens, width))


def _copies(gpus: int) -> Iterator[Kernel]:
    for power in range(16, 33):
        for kind in ("copy", "triad"):
            yield Kernel(kind, "fp32", (1 << power,))
    for power in range(12, 31, 2):
        for kind in ("host_to_device", "device_to_host", "peer_copy"):
            yield Kernel(kind, "fp32", (1 << power,))
    for power in range(12, 30, 2):
        for ranks in (2, 4, 8):
            if ranks <= max(gpus, 2):
                yield Kernel("all_reduce", "fp16", (1 << power, ranks))
