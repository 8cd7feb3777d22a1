"""What can be timed: kinds of kernels, their sizes, the work they do and the memory they take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: Data types of kernels and their bytes per element.
DTYPE_BYTES: Mapping[str, int] = {"bf16": 2, "fp16": 2, "fp32": 4}

#: Tokens in one block of the paged KV cache.
KV_BLOCK_TOKENS = 16
#: Rows of queries that unfused prefill attention handles at a time.
PREFILL_ROWS = 512


@dataclass(frozen=True)
class Work:
    """What one launch does: ``bytes`` cross the memory (or the link), each operand counted once."""

    flops: float
    bytes: float
    footprint_bytes: float  # of all its buffers


@dataclass(frozen=True)
class Kind:
    """A kind of kernel: the names of its sizes, and which of them are one *shape*.

    Measurements of one shape differ only in the other sizes, so a fit holds out whole shapes.
    ``exchange``: both operands of its work are copies across a link.
    """

    sizes: tuple[str, ...]
    shape: tuple[str, ...]
    work: Callable[[Mapping[str, int], int], Work]
    about: str


def _gemm(s: Mapping[str, int], size: int) -> Work:
    moved = size * (s["m"] * s["k"] + s["k"] * s["n"] + s["m"] * s["n"])
    return Work(2.0 * s["m"] * s["n"] * s["k"], moved, moved)


def _copy(s: Mapping[str, int], size: int) -> Work:
    return Work(0.0, 2.0 * s["bytes"], 2.0 * s["bytes"])


def _triad(s: Mapping[str, int], size: int) -> Work:
    return Work(2.0 * s["bytes"] / size, 3.0 * s["bytes"], 3.0 * s["bytes"])


def _decode(s: Mapping[str, int], size: int) -> Work:
    kv = 2.0 * s["sequences"] * s["context"] * s["kv_heads"] * s["head_dim"] * size
    queries = 2.0 * s["sequences"] * s["q_heads"] * s["head_dim"] * size
    pairs = s["sequences"] * s["context"] * s["q_heads"]
    # Beside the cache: its page table, and what gathering it (CPU) or splitting it (GPU) needs.
    scratch = kv / s["sequences"] + 4.0 * pairs
    return Work(4.0 * pairs * s["head_dim"], kv + queries, kv + queries + scratch)


def _prefill(s: Mapping[str, int], size: int) -> Work:
    tokens, heads, dim = s["tokens"], s["q_heads"], s["head_dim"]
    pairs = tokens * (tokens + 1) / 2 * heads  # causal
    moved = size * tokens * dim * 2.0 * (heads + s["kv_heads"])
    scores = size * min(tokens, PREFILL_ROWS) * heads * tokens
    return Work(4.0 * pairs * dim, moved, moved + scores)


def _rms_norm(s: Mapping[str, int], size: int) -> Work:
    moved = 2.0 * size * s["tokens"] * s["hidden"]
    return Work(4.0 * s["tokens"] * s["hidden"], moved, 2.0 * moved)


def _silu_mul(s: Mapping[str, int], size: int) -> Work:
    elements = float(s["tokens"] * s["ffn"])
    return Work(5.0 * elements, 3.0 * size * elements, 4.0 * size * elements)


def _one_way(s: Mapping[str, int], size: int) -> Work:
    return Work(0.0, float(s["bytes"]), 2.0 * s["bytes"])


def _all_reduce(s: Mapping[str, int], size: int) -> Work:
    # Each rank sends and receives 2 (n - 1)/n of the buffer at least (ring or tree).
    ranks = s["ranks"]
    return Work(0.0, 2.0 * (ranks - 1) / ranks * s["bytes"], 2.0 * s["bytes"])


_ATTENTION = ("q_heads", "kv_heads", "head_dim")
KINDS: Mapping[str, Kind] = {
    "gemm": Kind(("m", "n", "k"), ("n", "k"), _gemm, "matrix products"),
    "copy": Kind(("bytes",), ("bytes",), _copy, "copies in memory"),
    "triad": Kind(("bytes",), ("bytes",), _triad, "a = b + s c in memory"),
    "decode_attention": Kind(
        ("sequences", "context", *_ATTENTION), _ATTENTION, _decode,
        "decode attention over a paged KV cache",
    ),
    "prefill_attention": Kind(
        ("tokens", *_ATTENTION), _ATTENTION, _prefill, "causal prefill attention, unfused",
    ),
    "rms_norm": Kind(("tokens", "hidden"), ("hidden",), _rms_norm, "RMS norms"),
    "silu_mul": Kind(("tokens", "ffn"), ("ffn",), _silu_mul, "SiLU times gate"),
    "host_to_device": Kind(("bytes",), ("bytes",), _one_way, "copies from the host"),
    "device_to_host": Kind(("bytes",), ("bytes",), _one_way, "copies to the host"),
    "peer_copy": Kind(("bytes",), ("bytes",), _one_way, "copies to another GPU"),
    "all_reduce": Kind(("bytes", "ranks"), ("ranks", "bytes"), _all_reduce, "all-reduces"),
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Kernel:
    """One kernel to time. ``sizes`` are in the order of its kind."""

    kind: str
    dtype: str
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        names = KINDS[self.kind].sizes
        if len(names) != len(self.sizes) or min(self.sizes) < 1 or self.dtype not in DTYPE_BYTES:
            raise ValueError(f"no kernel: {self.kind} {self.dtype} {self.sizes}")

    @property
    def named(self) -> dict[str, int]:
        """Its sizes by name."""
        return dict(zip(KINDS[self.kind].sizes, self.sizes, strict=True))

    @property
    def name(self) -> str:
        """Such as ``gemm bf16 m=1 n=4096 k=4096``."""
        return " ".join([self.kind, self.dtype, *(f"{k}={v}" for k, v in self.named.items())])

    @property
    def family(self) -> tuple[str, str]:
        """Kernels that one set of constants describes."""
        return self.kind, self.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """What a fit holds out together."""
        named = self.named
        return tuple(named[name] for name in KINDS[self.kind].shape)

    @property
    def work(self) -> Work:
        """What one launch does."""
        return KINDS[self.kind].work(self.named, DTYPE_BYTES[self.dtype])

    @property
    def coordinates(self) -> tuple[float, ...]:
        """Its sizes in octaves: the space that a plan fills."""
        return tuple(math.log2(size) for size in self.sizes)
