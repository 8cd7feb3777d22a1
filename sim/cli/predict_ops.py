"""``rackplan predict kernels`` on a table with a column ``op``: attention, experts, all-reduces."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from sim.cli.predict_table import Table, TableRow, read_table
from sim.errors import RackplanError, UnknownName

if TYPE_CHECKING:
    from sim.catalog.types import Gpu
    from sim.perf.kernel_ops import KernelTime

#: Operation → the columns that it needs.
OPS = {
    "gemm": ("dtype", "m", "n", "k"),
    "attention-decode": ("kv_dtype", "n_q", "n_kv", "head_dim", "batch", "kv_tokens"),
    "attention-prefill": ("dtype", "kv_dtype", "n_q", "n_kv", "head_dim", "batch", "tokens"),
    "moe": (
        "dtype", "tokens", "hidden", "ffn", "experts", "experts_per_token", "tensor_parallel",
        "expert_parallel", "routing",
    ),
    "all-reduce": ("gpus", "size_bytes"),
}  # fmt: skip
_ADDED = ("time_s", "expected_error", "basis")


def has_ops(file: Path) -> bool:
    """Whether the table's header has a column ``op``; what cannot be read has not."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return "op" in [name.strip() for name in next(csv.reader(lines), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def time_ops(file: Path, gpu: Gpu, as_json: bool) -> tuple[Table, list[dict[str, object]]]:
    """The table, and for each row its time, the expected relative error, what that rests on.

    An empty ``op`` is a matrix product. In CSV every cell passes through as it stands; JSON tells
    numbers from text.
    """
    table = read_table(file, ("op",), None, added=_ADDED)
    added: list[dict[str, object]] = []
    for row in table.rows:
        op = row.optional("op") or "gemm"
        if op not in OPS:
            with row.at("op"):
                raise UnknownName("operation", op, OPS)
        for name in OPS[op]:
            if name not in table.columns:
                raise row.fail("op", f"{op} needs the columns {', '.join(OPS[op])}; {name} is not")
        answer = _time(op, row, gpu)
        numbers: dict[str, object] = {}
        if as_json:
            numbers = {n: row.whole(n) for n in OPS[op] if row.word(n).isdigit()}
        added.append({
            **numbers, "time_s": answer.time_s, "expected_error": answer.error,
            "basis": "; ".join(answer.basis),
        })  # fmt: skip
    return table, added


def _time(op: str, row: TableRow, gpu: Gpu) -> KernelTime:
    from sim.catalog.library import load
    from sim.perf import kernel_ops
    from sim.perf.attention import Heads
    from sim.perf.experts import Layer
    from sim.perf.kernels import kernel_s

    numbers = {n: row.whole(n) for n in OPS[op] if n not in ("dtype", "kv_dtype", "routing")}

    def precision(column: str) -> str:
        word = row.word(column)
        with row.at(column):
            return load().canonical("precision", word)

    if op == "gemm":
        kind = precision("dtype")
        with row.at("dtype"):
            time_s = kernel_s(gpu, row.word("dtype"), kind, **numbers)
        return kernel_ops.KernelTime(time_s, None, ())
    kv = precision("kv_dtype") if "kv_dtype" in OPS[op] else ""
    products = precision("dtype") if op == "attention-prefill" else ""
    try:
        if op == "all-reduce":
            return kernel_ops.all_reduce(gpu, numbers["gpus"], numbers["size_bytes"])
        if op == "moe":
            ranks = numbers["tensor_parallel"]
            if numbers["ffn"] % ranks:
                raise RackplanError(f"tensor_parallel {ranks} does not divide ffn {numbers['ffn']}")
            layer = Layer(
                numbers["experts"], numbers["experts_per_token"], numbers["hidden"],
                numbers["ffn"] // ranks, numbers["expert_parallel"], 0.0,
            )  # fmt: skip
            kernel, routing = _kernel(row.word("dtype"), gpu), row.word("routing")
            return kernel_ops.moe(gpu, kernel, layer, ranks, numbers["tokens"], routing)
        heads = Heads(numbers["n_q"], numbers["n_kv"], float(numbers["head_dim"]))
        if op == "attention-decode":
            return kernel_ops.attention_decode(
                gpu, kv, heads, numbers["batch"], numbers["kv_tokens"]
            )
        return kernel_ops.attention_prefill(
            gpu, products, kv, heads, numbers["batch"], numbers["tokens"]
        )
    except RackplanError as error:
        raise row.blame(error) from error


def _kernel(word: str, gpu: Gpu) -> str:
    """A kernel of experts by its name or by another spelling of its precision."""
    from sim.catalog.library import fold, load
    from sim.perf.layer_constants import expert_kernels

    spelt = {fold(name): name for name in expert_kernels(gpu.name)}
    if fold(word) in spelt:
        return spelt[fold(word)]
    try:
        return load().canonical("precision", word)
    except UnknownName:
        return word
