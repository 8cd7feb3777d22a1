"""The fits behind ``fit_collectives.py``: rows, models, and what is held out of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares, nnls

from sim.perf.collectives.ops import REDUCTIONS, bus_factor, network_steps, nic_share, sent_share
from sim.validate.collectives import NETWORKS, OLD, Network, Rows, nccl_rows, page_rows
from sim.validate.tables import Floats, lines_of

__all__ = ["NETWORKS", "Network", "Rows"]  # read from here by the report and tests
Key = tuple[str, int, str, str]
LINK_BYTES_PER_S = {
    "a100-sxm": 300e9, "h100-sxm": 450e9, "h200-sxm": 450e9, "b200": 900e9, "b300": 900e9,
    "gb300": 900e9, "l40s": 32e9,
}  # fmt: skip
#: Two series of one node of 8 H100, for errors out of sample; never fitted.
ONE_NODE = ("h100_dgx_1node", "h100_1node_user")
#: Bounds of the size from which chunks are as large as they get, bytes.
CAP = (8e6, 1e9)
#: Scales of the soft L1, as a relative error.
SOFT = 0.03


def read_k(folder: Path, versions: str = "new") -> Rows:
    """NCCL of aiconfigurator; ``versions`` ``old`` is NCCL 2.23 alone, ``new`` all others."""
    path = folder / "aic_collectives_all_gpus.csv"
    return nccl_rows(
        path,
        [
            line for line in lines_of(path)
            if line[1]["impl"] == "NCCL" and (line[1]["src"] == OLD) == (versions == "old")
        ],
    )  # fmt: skip


def read_p(folder: Path) -> Rows:
    """nccl-tests of public pages; GPUs by the word in their name."""
    path = folder / "nccl_tests_1node_multinode.csv"
    return page_rows(path, lines_of(path))


def groups(k: Rows) -> Iterator[tuple[Key, Rows]]:
    """Every (GPU, span, operation, width) with its rows."""
    keys = sorted(set(zip(k.gpu, k.span, k.op, k.width, strict=True)))
    for gpu, span, op, width in keys:
        yield (str(gpu), int(span), str(op), str(width)), pick(k, gpu, span, op, width)


def pick(k: Rows, gpu: str, span: int, op: str, width: str) -> Rows:
    """The rows of one fit."""
    return k.where((k.gpu == gpu) & (k.span == span) & (k.op == op) & (k.width == width))


def errors(predicted: Floats, measured: Floats) -> Floats:
    """[n] absolute relative errors."""
    return np.abs(predicted / measured - 1)


def fill(size: Floats, cap: float) -> Floats:
    """√S up to the cap, then its tangent: as ``Piece.rate_s``."""
    return np.where(size < cap, np.sqrt(size), (size + cap) / (2 * np.sqrt(cap)))


def domain_s(x: Floats, size: Floats) -> Floats:
    """x: start and 1/B of the low piece; start, 1/B, fill, cap of the bulk one."""
    low = x[0] + size * x[1]
    bulk = x[2] + size * x[3] + x[4] * fill(size, x[5])
    return np.minimum(low, bulk)


def pieces(x: Floats) -> dict[str, dict[str, float]]:
    """The two pieces under the names of the file."""
    names = ("start_s", "s_per_byte", "fill_s_per_sqrt_byte", "fill_cap_bytes")
    low = (x[0], x[1], 0.0, CAP[1])
    return {
        part: {name: float(v) for name, v in zip(names, values, strict=True)}
        for part, values in (("low", low), ("bulk", x[2:6]))
    }


def _line(columns: list[Floats], seconds: Floats) -> Floats:
    """Coefficients ≥ 0 of the columns, least squares of relative errors."""
    scaled = np.stack(columns, axis=1) / seconds[:, None]
    norm = np.linalg.norm(scaled, axis=0)
    return nnls(scaled / norm, np.ones(len(seconds)))[0] / norm


def _starts(rows: Rows) -> list[Floats]:
    """Where to begin: the best split of the sizes into two lines, for several caps."""
    sizes = np.unique(rows.size)
    found: list[tuple[float, Floats]] = []
    for cap in (16e6, 64e6, 256e6, 1e9):
        for split in sizes[2:-4]:
            small, large = rows.size <= split, rows.size > split
            one = np.ones(len(rows.size))
            low = _line([one[small], rows.size[small]], rows.seconds[small])
            big = rows.size[large]
            bulk = _line([one[large], big, fill(big, cap)], rows.seconds[large])
            x = np.array([*low, *bulk, cap])
            x[:5] = np.maximum(x[:5], [1e-7, 1e-16, 1e-7, 1e-15, 1e-12])
            loss = float(np.abs(np.log(domain_s(x, rows.size) / rows.seconds)).sum())
            found.append((loss, x))
    found.sort(key=lambda pair: pair[0])
    return [x for _, x in found[:4]]


def fit_domain(rows: Rows) -> Floats:
    """The two pieces of one operation, span and width."""
    low = np.log([1e-7, 1e-17, 1e-8, 1e-16, 1e-14, CAP[0]])
    high = np.log([1e-2, 1e-6, 1e-2, 1e-6, 1e-4, CAP[1]])
    best = None
    for start in _starts(rows):
        found = least_squares(
            lambda x: np.log(domain_s(np.exp(x), rows.size) / rows.seconds),
            np.clip(np.log(start), low + 1e-9, high - 1e-9),
            bounds=(low, high), loss="soft_l1", f_scale=SOFT, max_nfev=400,
        )  # fmt: skip
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return np.exp(best.x)


def held_out(rows: Rows) -> Floats:
    """[n] errors of each half of the sizes (every other) under the fit of the other half."""
    sizes = np.unique(rows.size)
    out = np.empty(len(rows.size))
    for turn in (0, 1):
        train = np.isin(rows.size, sizes[turn::2])
        x = fit_domain(rows.where(train))
        test = ~train
        out[test] = errors(domain_s(x, rows.size[test]), rows.seconds[test])
    return out


def beyond(k: Rows, most: float = 2.0**27) -> Floats:
    """Errors above ``most`` bytes under fits of what is below, NVLink only."""
    out = []
    for (gpu, *_), rows in groups(k):
        if gpu == "l40s":
            continue
        small = rows.size <= most
        x = fit_domain(rows.where(small))
        out.append(errors(domain_s(x, rows.size[~small]), rows.seconds[~small]))
    return np.concatenate(out)


def algorithm_of(k: Rows, key: Key) -> str:
    """A name for the bulk piece: see ``ASSUMED`` of ``fit_collectives.py``."""
    gpu, span, op, width = key
    if op == "all-to-all":
        return "pairwise"
    if op != "all-reduce" or width != "16-bit":
        return "ring"
    half, byte = (pick(k, gpu, span, op, w) for w in ("16-bit", "8-bit"))
    largest = half.size.max()
    fast, slow = (float(np.median(rows.seconds[rows.size == largest])) for rows in (half, byte))
    beyond_links = largest / fast * bus_factor(op, span) > LINK_BYTES_PER_S[gpu]
    return "nvls" if beyond_links or fast < 0.95 * slow else "ring"


def span_rule(k: Rows) -> tuple[float, Floats]:
    """The exponent of the start over spans, and the errors of spans under other spans' fits.

    The exponent that judges a GPU comes from the other GPUs.
    """
    fitted = {key: fit_domain(rows) for key, rows in groups(k)}
    pairs = [
        (key, other)
        for key in fitted
        for other in fitted
        if key[0] == other[0] and key[2:] == other[2:] and key[1] != other[1]
    ]

    def exponent(of: list[tuple[Key, Key]]) -> float:
        slopes = [np.log(fitted[a][0] / fitted[b][0]) / np.log(a[1] / b[1]) for a, b in of]
        return float(np.median(slopes))

    out = []
    for to, source in pairs:
        q = exponent([pair for pair in pairs if pair[0][0] != to[0]])
        x = fitted[source].copy()
        traffic = sent_share(to[2], algorithm_of(k, source), to[1]) / sent_share(
            to[2], algorithm_of(k, source), source[1]
        )
        x[[0, 2]] *= (to[1] / source[1]) ** q
        x[[1, 3, 4]] *= traffic
        rows = pick(k, *to)
        out.append(errors(domain_s(x, rows.size), rows.seconds))
    return exponent(pairs), np.concatenate(out)


def nvl72(p: Rows) -> tuple[dict[str, float], Rows, Floats, Floats]:
    """All-reduce of 72 GB200: start and 1/B, which is all that five large sizes show.

    The bulk piece, its rows, errors in sample, errors of each size under the fit of the others.
    """
    rows = p.where(p.series == "gb200_nvl72")

    def line(some: Rows) -> Floats:
        return _line([np.ones(len(some.size)), some.size], some.seconds)

    def line_s(x: Floats, of: Rows) -> Floats:
        return x[0] + x[1] * of.size

    x = line(rows)
    held = np.empty(len(rows.size))
    for size in rows.size:
        one = rows.size == size
        held[one] = errors(line_s(line(rows.where(~one)), rows.where(one)), rows.seconds[one])
    names = ("start_s", "s_per_byte", "fill_s_per_sqrt_byte", "fill_cap_bytes")
    bulk = dict(zip(names, (*map(float, x), 0.0, CAP[1]), strict=True))
    return bulk, rows, errors(line_s(x, rows), rows.seconds), held


def sizes_of(rows: Rows) -> dict[str, float]:
    """Between which sizes rows lie."""
    return {"least_bytes": float(rows.size.min()), "most_bytes": float(rows.size.max())}


def network_s(x: Floats, rows: Rows, k: Rows, kind: Network) -> Floats:
    """x: seconds of a hop, efficiency, fill. The domain's part comes from fits of K."""
    out = np.empty(len(rows.size))
    for gpu in np.unique(rows.gpu):
        mask = rows.gpu == gpu
        size = rows.size[mask]
        width = "16-bit" if kind.op in REDUCTIONS else "any"
        bulk = _bulk(k, str(gpu), kind.op, width)
        domain = size * bulk[1] + bulk[2] * fill(size, bulk[3])
        domain *= bus_factor(kind.op, 16) / bus_factor(kind.op, 8) if width == "any" else 1.0
        network = nic_share(kind.op, "ring", 2, 16, kind.nics) * size / kind.nic_bytes_per_s
        start = bulk[0] + network_steps(kind.op, "ring", 2) * x[0]
        out[mask] = start + np.maximum(domain, network) / x[1] + x[2] * np.sqrt(size)
    return out


_BULKS: dict[tuple[str, str, str], Floats] = {}


def _bulk(k: Rows, gpu: str, op: str, width: str) -> Floats:
    """The bulk piece of 8 GPUs; fitted once."""
    key = (gpu, op, width)
    if key not in _BULKS:
        _BULKS[key] = fit_domain(pick(k, gpu, 8, op, width))[2:6]
    return _BULKS[key]


def fit_network(rows: Rows, k: Rows, kind: Network) -> Floats:
    """Hop, efficiency and fill of one transport."""
    found = least_squares(
        lambda x: np.log(network_s(np.exp(x), rows, k, kind) / rows.seconds),
        np.log([3e-5, 0.95, 1e-8]), bounds=(np.log([1e-7, 0.1, 1e-14]), np.log([1e-2, 1.0, 1e-4])),
        loss="soft_l1", f_scale=SOFT,
    )  # fmt: skip
    return np.exp(found.x)


def series_out(rows: Rows, k: Rows, kind: Network) -> Floats:
    """[n] errors of whole series held out; of one series alone, of every other size."""
    if len(kind.series) > 1:
        parts = [rows.series == series for series in kind.series]
    else:
        order = np.argsort(np.argsort(rows.size))
        parts = [order % 2 == 0, order % 2 == 1]
    out = np.empty(len(rows.size))
    for part in parts:
        x = fit_network(rows.where(~part), k, kind)
        out[part] = errors(network_s(x, rows.where(part), k, kind), rows.seconds[part])
    return out
