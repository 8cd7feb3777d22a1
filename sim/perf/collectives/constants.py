"""Reads ``data/calibration/collectives.yaml``: fitted constants of collectives, as frozen rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from sim.errors import DataError, RackplanError, UnknownName
from sim.perf.calibration import read_row, read_tree

FILE = ("calibration", "collectives.yaml")


@dataclass(frozen=True)
class Piece:
    """Seconds = start + S·per byte + fill·√S, S in bytes.

    The root is what filling the pipeline costs at the best size of a chunk, which grows as √S. From
    ``fill_cap_bytes`` on chunks are as large as they get, and the term goes on along its tangent.
    """

    start_s: float
    s_per_byte: float
    fill_s_per_sqrt_byte: float
    fill_cap_bytes: float

    def seconds(self, size_bytes: float) -> float:
        """Seconds of S bytes."""
        return self.start_s + self.rate_s(size_bytes)

    def rate_s(self, size_bytes: float) -> float:
        """Seconds of S bytes without the start."""
        cap = self.fill_cap_bytes
        if size_bytes <= cap:
            root = math.sqrt(size_bytes)
        else:
            root = (size_bytes + cap) / (2.0 * math.sqrt(cap))
        return size_bytes * self.s_per_byte + self.fill_s_per_sqrt_byte * root

    def scaled(self, start: float, traffic: float) -> Piece:
        """The same with the start and what grows with the size multiplied."""
        return Piece(
            self.start_s * start,
            self.s_per_byte * traffic,
            self.fill_s_per_sqrt_byte * traffic,
            self.fill_cap_bytes,
        )


@dataclass(frozen=True)
class FitErrors:
    """Absolute relative errors: median in sample; median and P90 of what was held out."""

    rows: float
    in_sample: float
    median: float
    p90: float


@dataclass(frozen=True)
class DomainFit:
    """An operation between the GPUs of one NVLink domain or server, as measured.

    ``low`` is NCCL's low-latency protocols (tree or ring: times do not tell which), None where no
    small size was measured; ``bulk`` all else. Sizes are those measured.
    """

    algorithm: str
    low: Piece | None
    bulk: Piece
    least_bytes: float
    most_bytes: float
    errors: FitErrors

    def is_low(self, size_bytes: float) -> bool:
        """Whether a size is one of the low-latency protocols'.

        That is up to the largest size at which both pieces take as long. Far below it the bulk
        piece's start may be the lower one again, which says nothing: there both are one curve.
        """
        if self.low is None:
            return False
        if self.low.seconds(size_bytes) <= self.bulk.seconds(size_bytes):
            return True
        steeper = self.low.s_per_byte - self.bulk.s_per_byte
        if steeper <= 0.0:
            return False
        # Where the low piece is ahead by most: bulk − low is concave in √S.
        root = self.bulk.fill_s_per_sqrt_byte / (2.0 * steeper)
        ahead = min(root * root, self.bulk.fill_cap_bytes)
        return size_bytes < ahead and self.low.seconds(ahead) <= self.bulk.seconds(ahead)


@dataclass(frozen=True)
class NetworkFit:
    """An operation between two domains over one kind of transport, as measured.

    Seconds = start + max(in the domain, NIC's bytes / rate) / efficiency + fill·√S. ``hop_s`` is
    the start's part for one crossing of the network.
    """

    hop_s: float
    efficiency: float
    fill_s_per_sqrt_byte: float
    least_bytes: float
    most_bytes: float
    nic_bytes_per_s: float  # of the measured NICs
    errors: FitErrors


@dataclass(frozen=True)
class Spread:
    """How far off what was not measured is likely to be, relative; and how the start scales.

    ``span_exponent``: the start of a domain of n GPUs is that of n' GPUs times (n/n')^exponent.
    """

    span_exponent: float
    span: float
    size: float
    operation: float
    network_operation: float
    domains: float


def gpus() -> tuple[str, ...]:
    """GPUs with constants."""
    return tuple(_domains())


def source_ids() -> tuple[str, ...]:
    """Ids (``data/sources.yaml``) of the measurements behind the constants."""
    record = read_tree(*FILE)["record"]
    return tuple(str(record[key]) for key in ("source_id", "networks_source_id"))


def transports() -> tuple[str, ...]:
    """Kinds of transport between domains."""
    return tuple(read_tree(*FILE)["networks"])


def spans(gpu: str, op: str) -> tuple[int, ...]:
    """Numbers of GPUs for which ``op`` was measured on ``gpu``, ascending; () if it was not.

    Raises:
        RackplanError: no constants of this GPU.
    """
    table = _domains()
    if gpu not in table:
        raise RackplanError(
            f"collectives were not measured on {gpu} (known: {', '.join(sorted(table))})"
        )
    return tuple(sorted(span for span, ops in table[gpu].items() if op in ops))


def domain_fit(gpu: str, span: int, op: str, bits: int) -> DomainFit:
    """The row of a measured operation; ``bits`` of a number (8, else 16) matter to reductions."""
    by_width = _domains()[gpu][span][op]
    narrow = "8-bit" if bits <= 8 else "16-bit"
    return by_width.get(narrow) or by_width.get("any") or by_width["16-bit"]


def measures_width(gpu: str, span: int, op: str, bits: int) -> bool:
    """Whether numbers of this width were measured."""
    by_width = _domains()[gpu][span][op]
    return "any" in by_width or ("8-bit" if bits <= 8 else "16-bit") in by_width


def network_fit(transport: str, op: str) -> tuple[NetworkFit, str]:
    """The row of a transport and the operation it is of: ``op``, else one that was measured.

    Raises:
        UnknownName: no such transport.
    """
    table = read_tree(*FILE)["networks"]
    if transport not in table:
        raise UnknownName("transport", transport, table)
    ops = table[transport]
    measured = op if op in ops else next(iter(ops))
    where = f"networks.{transport}.{measured}"
    values = dict(ops[measured])
    errors = read_row(FitErrors, values.pop("errors", {}), FILE, f"{where}.errors")
    names = [field.name for field in fields(NetworkFit) if field.name != "errors"]
    if wrong := sorted(set(names) ^ set(values)):
        raise DataError("/".join(FILE), f"{where}: keys missing or unknown: {', '.join(wrong)}")
    return NetworkFit(**{name: float(values[name]) for name in names}, errors=errors), measured


def spread() -> Spread:
    """Errors of what was not measured."""
    return read_row(Spread, read_tree(*FILE)["spread"], FILE, "spread")


@lru_cache(maxsize=1)
def _domains() -> Mapping[str, Mapping[int, Mapping[str, Mapping[str, DomainFit]]]]:
    """GPU → number of GPUs → operation → width of numbers (``16-bit``, ``8-bit``, ``any``)."""
    return {
        gpu: {
            int(span): {
                op: {
                    width: _fit(values, f"domains.{gpu}.{span}.{op}.{width}")
                    for width, values in widths.items()
                }
                for op, widths in ops.items()
            }
            for span, ops in by_span.items()
        }
        for gpu, by_span in read_tree(*FILE)["domains"].items()
    }


def _fit(values: Mapping[str, Any], where: str) -> DomainFit:
    rest = dict(values)
    try:
        algorithm = str(rest.pop("algorithm"))
        low = rest.pop("low")
        bulk = read_row(Piece, rest.pop("bulk"), FILE, f"{where}.bulk")
        piece = None if low is None else read_row(Piece, low, FILE, f"{where}.low")
        sizes = [float(rest.pop(name)) for name in ("least_bytes", "most_bytes")]
        errors = read_row(FitErrors, rest.pop("errors"), FILE, f"{where}.errors")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("/".join(FILE), f"{where}: {error}") from error
    if rest:
        raise DataError("/".join(FILE), f"{where}: unknown {', '.join(rest)}")
    return DomainFit(algorithm, piece, bulk, sizes[0], sizes[1], errors)
