"""Every kind of kernel that a CPU can run, as NumPy calls into buffers that are there already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import saxpy

from sim.calibrate.device import Launch
from sim.calibrate.kernel import KV_BLOCK_TOKENS, PREFILL_ROWS, Kernel

Floats = NDArray[np.float32]

#: Numbers drawn for a buffer; longer buffers repeat them.
_DRAWN = 1 << 20


@dataclass(frozen=True)
class Prepared:
    """A kernel with its buffers: what went in, where the result will be, and the call."""

    inputs: Mapping[str, NDArray[np.generic]]
    output: Floats
    launch: Launch


def prepare(kernel: Kernel, seed: int = 0) -> Prepared:
    """The kernel with random operands.

    Raises:
        KeyError: no CPU form of this kind.
    """
    return PREPARE[kernel.kind](kernel.named, np.random.default_rng(seed))


def _normal(rng: np.random.Generator, *shape: int) -> Floats:
    size = int(np.prod(shape))
    drawn = rng.standard_normal(min(size, _DRAWN), dtype=np.float32)
    return np.resize(drawn, size).reshape(shape)


def _gemm(s: Mapping[str, int], rng: np.random.Generator) -> Prepared:
    """[m, k] × [n, k]ᵀ, the weights stored as a linear layer stores them."""
    x, w = _normal(rng, s["m"], s["k"]), _normal(rng, s["n"], s["k"])
    out = np.empty((s["m"], s["n"]), dtype=np.float32)

    def launch() -> None:
        np.matmul(x, w.T, out=out)

    return Prepared({"x": x, "w": w}, out, launch)


def _copy(s: Mapping[str, int], rng: np.random.Generator) -> Prepared:
    x = _normal(rng, max(s["bytes"] // 4, 1))
    out = np.zeros_like(x)

    def launch() -> None:
        np.copyto(out, x)

    return Prepared({"x": x}, out, launch)


def _triad(s: Mapping[str, int], rng: np.random.Generator) -> Prepared:
    """y ← y + a x by BLAS: two arrays read, one written, in one pass."""
    x, out = _normal(rng, max(s["bytes"] // 4, 1)), np.zeros(max(s["bytes"] // 4, 1), np.float32)

    def launch() -> None:
        saxpy(x, out, a=0.5)

    return Prepared({"x": x}, out, launch)


def _decode(s: Mapping[str, int], rng: np.random.Generator) -> Prepared:
    """One query per sequence against keys and values gathered through a page table.

    Pools [blocks, kv_heads, 16, head_dim], table [sequences, blocks of a sequence] in random
    order, queries [sequences, kv_heads, group, head_dim].
    """
    sequences, context, heads, dim = s["sequences"], s["context"], s["kv_heads"], s["head_dim"]
    group, each = s["q_heads"] // heads, -(-context // KV_BLOCK_TOKENS)
    shape = (sequences * each, heads, KV_BLOCK_TOKENS, dim)
    keys, values = _normal(rng, *shape), _normal(rng, *shape)
    table = rng.permutation(sequences * each).reshape(sequences, each)
    queries = _normal(rng, sequences, heads, group, dim)
    out = np.empty((sequences, heads, group, dim), dtype=np.float32)
    k, v = (np.empty((each, *shape[1:]), dtype=np.float32) for _ in range(2))
    ended = np.arange(each * KV_BLOCK_TOKENS).reshape(each, 1, KV_BLOCK_TOKENS) >= context
    scale = np.float32(dim**-0.5)

    def launch() -> None:
        for i in range(sequences):
            np.take(keys, table[i], axis=0, out=k, mode="clip")
            np.take(values, table[i], axis=0, out=v, mode="clip")
            # [kv_heads, blocks, group, 16]
            scores = np.matmul(queries[i, :, None] * scale, k.transpose(1, 0, 3, 2))
            np.copyto(scores, -np.inf, where=ended)
            scores -= scores.max(axis=(1, 3), keepdims=True)
            np.exp(scores, out=scores)
            total = scores.sum(axis=(1, 3))[..., None]
            out[i] = np.matmul(scores, v.transpose(1, 0, 2, 3)).sum(axis=1) / total

    return Prepared({"keys": keys, "values": values, "table": table, "q": queries}, out, launch)


def _prefill(s: Mapping[str, int], rng: np.random.Generator) -> Prepared:
    """Causal attention in blocks of rows: scores, softmax, values; [kv_heads, tokens, …]."""
    tokens, heads, dim = s["tokens"], s["kv_heads"], s["head_dim"]
    group = s["q_heads"] // heads
    queries = _normal(rng, heads, tokens, group, dim)
    keys, values = _normal(rng, heads, tokens, dim), _normal(rng, heads, tokens, dim)
    out = np.empty_like(queries)
    scale = np.float32(dim**-0.5)

    def launch() -> None:
        for first in range(0, tokens, PREFILL_ROWS):
            last = min(first + PREFILL_ROWS, tokens)
            rows = (queries[:, first:last] * scale).reshape(heads, -1, dim)
            scores = np.matmul(rows, keys[:, :last].transpose(0, 2, 1))
            later = np.arange(last) > np.repeat(np.arange(first, last), group)[:, None]
            np.copyto(scores, -np.inf, where=later)
            scores -= scores.max(axis=2, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=2, keepdims=True)
            block = np.matmul(scores, values[:, :last])
            out[:, first:last] = block.reshape(heads, last - first, group, dim)

    return Prepared({"q": queries, "keys": keys, "values": values}, out, launch)


def _rms_norm(s: Mapping[str, int], rng: np.random.Generator) -> Prepared:
    x, weight = _normal(rng, s["tokens"], s["hidden"]), _normal(rng, s["hidden"])
    out = np.empty_like(x)

    def launch() -> None:
        squares = np.einsum("ij,ij->i", x, x)
        np.multiply(x, (squares / s["hidden"] + 1e-6)[:, None] ** -0.5, out=out)
        np.multiply(out, weight, out=out)

    return Prepared({"x": x, "weight": weight}, out, launch)


def _silu_mul(s: Mapping[str, int], rng: np.random.Generator) -> Prepared:
    gate, up = (_normal(rng, s["tokens"], s["ffn"]) for _ in range(2))
    out = np.empty_like(gate)

    def launch() -> None:
        np.negative(gate, out=out)
        np.exp(out, out=out)
        np.add(out, 1, out=out)
        np.divide(gate, out, out=out)
        np.multiply(out, up, out=out)

    return Prepared({"gate": gate, "up": up}, out, launch)


PREPARE: Mapping[str, Callable[[Mapping[str, int], np.random.Generator], Prepared]] = {
    "gemm": _gemm,
    "copy": _copy,
    "triad": _triad,
    "decode_attention": _decode,
    "prefill_attention": _prefill,
    "rms_norm": _rms_norm,
    "silu_mul": _silu_mul,
}
