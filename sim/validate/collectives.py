"""Measured collectives: reads the tables, and predicts them row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.catalog.library import load
from sim.errors import DataError, RackplanError, UnknownName
from sim.perf.collectives.constants import FitErrors, domain_fit, network_fit, spans
from sim.perf.collectives.ops import REDUCTIONS
from sim.perf.collectives.timing import Between, time_collective
from sim.perf.layer_constants import all_reduce_s
from sim.validate.tables import Floats, Line, Mask, gpu_of, groups, lines_of, number
from sim.validate.timings import Found, HeldOut, Timings, held_out, seen_shapes

COLUMNS = ("gpu", "src", "impl", "op", "dtype", "num_gpus", "size_bytes", "latency_ms")
PAGE_COLUMNS = ("series", "op", "gpu", "num_gpus", "nodes", "size_bytes", "time_us")
OPS = {
    "all_reduce": "all-reduce", "all_gather": "all-gather", "reduce_scatter": "reduce-scatter",
    "alltoall": "all-to-all",
}  # fmt: skip
#: Version of NCCL that no constant was fitted to.
OLD = "nccl/2.23"
#: Engines' own all-reduces that start without the host's overhead, and the largest one fitted.
GRAPHS = ("TRTLLM", "trtllm")
MOST_BYTES = 256e6
#: Words in the names of GPUs on pages of nccl-tests.
WORDS = {"H100": "h100-sxm", "H200": "h200-sxm", "A100": "a100-sxm", "B200": "b200",
         "GB200": "gb200"}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Measured collectives as columns, [n] each; set K has ``width``, set P ``series``."""

    gpu: NDArray[np.str_]
    span: NDArray[np.int64]
    op: NDArray[np.str_]
    width: NDArray[np.str_]
    series: NDArray[np.str_]
    size: Floats
    seconds: Floats

    def where(self, mask: Mask) -> Rows:
        """Some of the rows."""
        return Rows(*(getattr(self, field.name)[mask] for field in fields(self)))


@dataclass(frozen=True)
class Network:
    """What the series of one transport were measured on: servers of 8 GPUs, in pairs."""

    series: tuple[str, ...]
    op: str
    nics: int
    nic_bytes_per_s: float


#: The series that the constants of networks were fitted to.
NETWORKS = {
    ("rdma", "all-reduce"): Network(
        ("h100_2node_ib_good", "h100_2node_ib_nebius2", "b200_2node_gcp_a4"),
        "all-reduce", 8, 50e9,
    ),
    ("tcpxo", "all-reduce"): Network(("h100_2node_gcp_a3mega",), "all-reduce", 8, 25e9),
    ("tcpxo", "all-gather"): Network(("h100_2node_gcp_a3mega_ag",), "all-gather", 8, 25e9),
    ("tcpx", "all-gather"): Network(("h100_2node_gcp_a3high_ag",), "all-gather", 4, 25e9),
}  # fmt: skip
#: The series of whole racks that the constants of a domain were fitted to.
FITTED_DOMAINS = ("gb200_nvl72",)


def domain_gpu(name: str) -> str:
    """The name of a GPU among the constants of collectives, which has more than the catalog."""
    try:
        return load().canonical("gpu", name)
    except UnknownName:
        return name.removesuffix("_sxm").replace("_", "-")


def nccl_rows(path: Path, lines: Iterable[Line]) -> Rows:
    """Rows of NCCL among ``lines`` of a table with ``COLUMNS``; ``series`` is the version.

    Raises:
        DataError: a cell that is not what its column says.
    """
    found = []
    for line in lines:
        row = line[1]
        op = _op(path, line)
        width = "any"
        if op in REDUCTIONS:
            width = "8-bit" if row["dtype"] == "int8" else "16-bit"
        found.append(
            (domain_gpu(row["gpu"]), int(number(path, line, "num_gpus")), op, width, row["src"],
             number(path, line, "size_bytes"), number(path, line, "latency_ms") / 1e3)
        )  # fmt: skip
    return Rows(*(np.array(column) for column in zip(*found, strict=True)))


def page_rows(path: Path, lines: Iterable[Line]) -> Rows:
    """Rows of nccl-tests in a table with ``PAGE_COLUMNS``, in 16 bits.

    Raises:
        DataError: a cell that is not what its column says, or a GPU with no word known.
    """
    found = []
    for line in lines:
        row = line[1]
        word = next((w for w in row["gpu"].split() if w in WORDS), None)
        if word is None:
            raise DataError(
                str(path), f"column 'gpu': expected one of {', '.join(WORDS)} in {row['gpu']!r}",
                line[0],
            )  # fmt: skip
        found.append(
            (WORDS[word], int(number(path, line, "num_gpus")), _op(path, line), "16-bit",
             row["series"], number(path, line, "size_bytes"), number(path, line, "time_us") / 1e6)
        )  # fmt: skip
    return Rows(*(np.array(column) for column in zip(*found, strict=True)))


def _op(path: Path, line: Line) -> str:
    op = line[1]["op"]
    if op not in OPS:
        raise DataError(
            str(path), f"column 'op': expected one of {', '.join(OPS)}, not {op!r}", line[0]
        )
    return OPS[op]


def fastest(path: Path, lines: Iterable[Line]) -> dict[tuple[str, int], tuple[Floats, Floats]]:
    """(GPU of the table, ranks) → sizes in bytes, seconds of the fastest engine's all-reduce.

    Of those without the host's overhead, and up to ``MOST_BYTES``.
    """
    best: dict[tuple[str, int], dict[float, float]] = {}
    for line in lines:
        row = line[1]
        if row["op"] != "all_reduce" or not (
            row["impl"].endswith("_graph") or row["impl"] in GRAPHS
        ):
            continue
        size, seconds = number(path, line, "size_bytes"), number(path, line, "latency_ms") / 1e3
        if size <= MOST_BYTES:
            sizes = best.setdefault((row["gpu"], int(number(path, line, "num_gpus"))), {})
            sizes[size] = min(sizes.get(size, np.inf), seconds)
    return {
        key: (np.array(list(sizes)), np.array(list(sizes.values()))) for key, sizes in best.items()
    }


def collective_timings(path: Path) -> Found:
    """NCCL's collectives in one domain, and engines' own all-reduces, of a table with ``COLUMNS``.

    Raises:
        DataError: a cell that is not what its column says.
    """
    lines = lines_of(path)
    found = Found()
    missing: dict[str, int] = {}
    for (name, ranks), (size, seconds) in fastest(path, lines).items():
        gpu = gpu_of(name, path, "")
        if gpu is None or ranks < 2:
            missing[name] = missing.get(name, 0) + len(size)
            continue
        record = f"all-reduce {gpu.name} x {ranks}"
        shape = np.array([f"{s:g}" for s in size])
        found.timings.append(Timings(
            path.name, "all-reduce", gpu.name, f"x {ranks}", shape, {"size_bytes": size},
            {"<= 1 MB": size <= 1e6, "> 1 MB": size > 1e6}, seen_shapes(record, shape), seconds,
            all_reduce_s(gpu, ranks, size), held_out(record),
        ))  # fmt: skip
    found.skipped += [
        f"{path.name}: {count} all-reduces of engines on {name}, no such GPU in the catalog"
        for name, count in missing.items()
    ]
    if eager := sum(row["impl"].endswith("_eager") for _, row in lines):
        found.skipped.append(f"{path.name}: {eager} rows with the host's overhead (*_eager)")
    nccl = [line for line in lines if line[1]["impl"] == "NCCL"]
    for (name,), part in groups(nccl, "gpu").items():
        for old in (False, True):
            some = [line for line in part if (line[1]["src"] == OLD) == old]
            if some:
                _nccl(path, name, old, nccl_rows(path, some), found)
    return found


def _nccl(path: Path, name: str, old: bool, rows: Rows, found: Found) -> None:
    """Adds the rows of one GPU, of all later versions of NCCL or of the old one."""
    for span, op, width in sorted(set(zip(rows.span, rows.op, rows.width, strict=True))):
        one = rows.where((rows.span == span) & (rows.op == op) & (rows.width == width))
        gpu, bits = str(one.gpu[0]), 8 if width == "8-bit" else 16
        try:
            predicted = [
                time_collective(str(op), s, gpu, int(span), bits=bits).time_s
                for s in one.size.tolist()
            ]
        except RackplanError as error:
            found.skipped.append(f"{path.name}: {len(one.size)} rows of {op} on {name}: {error}")
            continue
        own = int(span) in spans(gpu, str(op))
        fit = domain_fit(gpu, int(span), str(op), bits) if own else None
        inside = np.zeros(len(one.size), dtype=bool)
        if fit is not None and not old:
            inside = (one.size >= fit.least_bytes) & (one.size <= fit.most_bytes)
        label = f"{op} x {span}" + ("" if width == "any" else f", {width}")
        found.timings.append(_collective(
            path, "collective", gpu, label + (f", {OLD}" if old else ""), one,
            inside, np.array(predicted), fit.errors if fit else None,
        ))  # fmt: skip


def page_timings(path: Path) -> Found:
    """nccl-tests of a table with ``PAGE_COLUMNS``: in one domain, or between two servers.

    Between servers a series needs constants fitted to it, or the columns ``transport``, ``nics``
    and ``nic_gbps`` (of each server, Gb/s of each).

    Raises:
        DataError: a cell that is not what its column says.
    """
    found = Found()
    for (series, _, _), lines in groups(lines_of(path), "series", "num_gpus", "op").items():
        rows = page_rows(path, lines)
        gpu, span, op = str(rows.gpu[0]), int(rows.span[0]), str(rows.op[0])
        what = f"{path.name}: {len(lines)} rows of {series}"
        domains = int(number(path, lines[0], "nodes"))
        one_domain = domains == 1 or series in FITTED_DOMAINS
        between = None if one_domain else _between(path, lines[0], series, op)
        if not one_domain and between is None:
            found.skipped.append(f"{what}, no transport known")
            continue
        try:
            predicted = [
                time_collective(
                    op, s, gpu, span, domains=1 if one_domain else domains, between=between
                ).time_s
                for s in rows.size.tolist()
            ]
            width = "16-bit"
            errors = None
            if between is not None:
                errors = network_fit(between.transport, op)[0].errors
            elif span in spans(gpu, op):
                errors = domain_fit(gpu, span, op, 16).errors
        except RackplanError as error:
            found.skipped.append(f"{what}: {error}")
            continue
        fitted = series in FITTED_DOMAINS or any(series in n.series for n in NETWORKS.values())
        label = f"{op} x {span}, {width}, {series}" if between is None else (
            f"{op} {domains} x {span // domains}, {between.transport}, {series}"
        )  # fmt: skip
        found.timings.append(_collective(
            path, "network" if between else "collective", gpu, label, rows,
            np.full(len(lines), fitted), np.array(predicted), errors,
        ))  # fmt: skip
    return found


def _between(path: Path, line: Line, series: str, op: str) -> Between | None:
    """The network of a series: what its constants were fitted on, else what its columns say."""
    for (transport, its_op), kind in NETWORKS.items():
        if series in kind.series and op == its_op:
            return Between(kind.nics, kind.nic_bytes_per_s, transport)
    if not line[1].get("transport"):
        return None
    nics, gbps = int(number(path, line, "nics")), number(path, line, "nic_gbps")
    return Between(nics, gbps * 1e9 / 8, line[1]["transport"])


def _collective(
    path: Path, kind: str, gpu: str, kernel: str, rows: Rows, fitted: Mask, predicted_s: Floats,
    errors: FitErrors | None,
) -> Timings:  # fmt: skip
    size = rows.size
    regimes = {
        "<= 512 KiB": size <= 2**19,
        "512 KiB to 32 MiB": (size > 2**19) & (size <= 2**25),
        "> 32 MiB": size > 2**25,
    }
    record = HeldOut(int(errors.rows), errors.median, errors.p90) if errors else None
    shape = np.array([f"{s:g}" for s in size])
    return Timings(
        path.name, kind, gpu, kernel, shape, {"size_bytes": size}, regimes, fitted, rows.seconds,
        predicted_s, record,
    )  # fmt: skip
