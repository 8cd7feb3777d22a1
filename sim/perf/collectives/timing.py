"""The closed form of a collective that is alone: seconds, algorithm, and what the number rests on.

Inside a domain: the least of the algorithms that NCCL has for it, each ``start + S/B + fill·√S``
with fitted constants. Between domains: ``start + max(in the domain, NIC's bytes / rate)/efficiency
+ fill·√S``, the least of a ring and a tree over the domains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sim.errors import RackplanError
from sim.perf.collectives.constants import (
    DomainFit,
    domain_fit,
    measures_width,
    network_fit,
    spans,
    spread,
)
from sim.perf.collectives.ops import (
    between_algorithms,
    bus_factor,
    check_op,
    check_ranks,
    in_domain_algorithm,
    network_steps,
    nic_share,
    sent_share,
)

#: What stands in for an operation that was not measured, and moves its bytes alike.
_LIKE = {
    "broadcast": "all-gather", "point-to-point": "all-to-all", "reduce-scatter": "all-gather",
    "all-gather": "reduce-scatter",
}  # fmt: skip
#: Name of the small-message protocols of NCCL, over trees or rings.
LOW = "low-latency"


@dataclass(frozen=True)
class Between:
    """The network between domains: NICs that the GPUs of one domain use, and the rate of each."""

    nics: int
    nic_bytes_per_s: float
    transport: str = "rdma"


@dataclass(frozen=True)
class Timed:
    """A collective that is alone.

    Attributes:
        gpus: in all; ``domains`` of equally many.
        time_s: the least of ``candidates`` (algorithm → seconds); ``algorithm`` is its name.
        latency_s: the part of it that does not depend on the size.
        basis: what was not measured, in words; () if the number lies inside the measurements.
        error: relative error that nine of ten numbers like this are likely to stay below.
    """

    op: str
    size_bytes: float
    gpus: int
    domains: int
    algorithm: str
    time_s: float
    latency_s: float
    candidates: Mapping[str, float]
    basis: tuple[str, ...]
    error: float

    @property
    def algbw_bytes_per_s(self) -> float:
        """S / time."""
        return self.size_bytes / self.time_s

    @property
    def busbw_bytes_per_s(self) -> float:
        """S / time × ``bus_factor``, as nccl-tests prints it."""
        return self.algbw_bytes_per_s * bus_factor(self.op, self.gpus)


@dataclass(frozen=True)
class _Row:
    """Constants for the asked span and operation, with what was done to get there."""

    fit: DomainFit
    basis: tuple[str, ...]
    error: float


def time_collective(
    op: str,
    size_bytes: float,
    gpu: str,
    gpus: int,
    *,
    domains: int = 1,
    between: Between | None = None,
    bits: int = 16,
) -> Timed:
    """Seconds of one collective with nothing beside it.

    Args:
        op: one of ``ops.OPS``.
        size_bytes: S, as ``ops`` defines it.
        gpu: canonical name, such as ``h100-sxm``.
        gpus: in all domains together.
        domains: NVLink domains (servers) with equally many of the GPUs.
        between: their network; needed where there are several.
        bits: of the numbers, which matters to reductions: 8 or less has no NVLS on Hopper.

    Raises:
        RackplanError: an unknown operation, a number of GPUs that it cannot have, a GPU without
            constants, domains of unequal size or without a network.
    """
    check_op(op)
    check_ranks(op, gpus)
    if not (size_bytes > 0.0 and math.isfinite(size_bytes)):
        raise RackplanError(f"a collective needs a size above 0, not {size_bytes:g} bytes")
    if domains < 1 or gpus % domains:
        raise RackplanError(f"{gpus} GPUs do not come out even over {domains} domains")
    if domains == 1:
        return _in_domain(op, size_bytes, gpu, gpus, bits)
    if between is None:
        raise RackplanError(f"{domains} domains need a network between them")
    return _between(op, size_bytes, gpu, gpus, domains, between, bits)


def domain_algorithm(op: str, gpu: str, gpus: int, bits: int) -> str:
    """How large sizes move inside a domain of so many GPUs."""
    return domain_row(op, gpu, gpus, bits).fit.algorithm


def domain_row(op: str, gpu: str, gpus: int, bits: int) -> _Row:
    """Constants of ``op`` between ``gpus`` of one domain: measured, or carried over from what was.

    Raises:
        RackplanError: nothing was measured on this GPU.
    """
    known, source = spans(gpu, op), op
    basis: list[str] = []
    far = spread()
    errors = [0.0]
    if not known:
        source = _LIKE.get(op, "all-reduce")
        known = spans(gpu, source)
        if not known:
            raise RackplanError(f"{op} was not measured on {gpu}, and neither was {source}")
        basis.append(f"{op} was not measured: rates of {source}")
        errors.append(far.operation)
    # The nearest span by ratio; of two equally near ones the larger.
    span = min(known, key=lambda n: (abs(math.log(n / gpus)), -n))
    fit = domain_fit(gpu, span, source, bits)
    if not measures_width(gpu, span, source, bits):
        basis.append(f"{source} of {bits}-bit numbers was not measured on {gpu}: as 16-bit ones")
        errors.append(far.operation)
    if span != gpus and op != "point-to-point":
        basis.append(f"{source} was measured between {_listed(known)} GPUs of {gpu}, not {gpus}")
        errors.append(far.span)
    algorithm = fit.algorithm if source == op else in_domain_algorithm(op)
    of = 2 if op == "point-to-point" else gpus
    traffic = sent_share(op, algorithm, of) / sent_share(source, fit.algorithm, span)
    start = (of / span) ** far.span_exponent
    scaled = DomainFit(
        algorithm,
        fit.low and fit.low.scaled(start, traffic),
        fit.bulk.scaled(start, traffic),
        fit.least_bytes,
        fit.most_bytes,
        fit.errors,
    )
    return _Row(scaled, tuple(basis), max(errors))


def _in_domain(op: str, size_bytes: float, gpu: str, gpus: int, bits: int) -> Timed:
    row = domain_row(op, gpu, gpus, bits)
    fit = row.fit
    bulk_s = fit.bulk.seconds(size_bytes)
    candidates = {fit.algorithm: bulk_s}
    best, start_s = fit.algorithm, fit.bulk.start_s
    if fit.low is not None:
        low_s = fit.low.seconds(size_bytes)
        if fit.is_low(size_bytes):
            best = LOW
            start_s = fit.low.start_s if low_s <= bulk_s else start_s
            low_s = min(low_s, bulk_s)
        candidates[LOW] = low_s
    basis, error = list(row.basis), max(row.error, fit.errors.p90)
    if outside := _outside(size_bytes, fit.least_bytes, fit.most_bytes):
        basis.append(outside)
        error = max(error, spread().size)
    return Timed(
        op, size_bytes, gpus, 1, best, candidates[best], start_s, candidates, tuple(basis),
        error,
    )  # fmt: skip


def _between(
    op: str, size_bytes: float, gpu: str, gpus: int, domains: int, between: Between, bits: int
) -> Timed:
    inside = gpus // domains
    _check_network(between, inside)
    fit, measured = network_fit(between.transport, op)
    far = spread()
    basis: list[str] = []
    errors = [fit.errors.p90]
    start_s, domain_s = 0.0, 0.0
    if inside > 1 and op != "point-to-point":
        row = domain_row(op, gpu, inside, bits)
        start_s = row.fit.bulk.start_s
        domain_s = row.fit.bulk.rate_s(size_bytes) * _domain_part(op, domains, inside)
        basis += row.basis
        errors.append(row.error)
    else:
        spans(gpu, op)  # a GPU that is not known is refused here, too
    if measured != op:
        basis.append(f"{op} over {between.transport} was not measured: constants of {measured}")
        errors.append(far.network_operation)
    if domains > 2:
        basis.append(f"{domains} domains: only 2 were measured")
        errors.append(far.domains)
    if inside != 8:
        basis.append(f"{inside} GPUs in each domain: only 8 were measured over a network")
        errors.append(far.network_operation)
    if abs(between.nic_bytes_per_s / fit.nic_bytes_per_s - 1.0) > 0.01:
        basis.append(
            f"NICs of {between.nic_bytes_per_s * 8e-9:g} Gb/s: "
            f"{fit.nic_bytes_per_s * 8e-9:g} Gb/s were measured"
        )
        errors.append(far.network_operation)
    if outside := _outside(size_bytes, fit.least_bytes, fit.most_bytes):
        basis.append(outside)
        errors.append(far.size)
    candidates: dict[str, float] = {}
    starts: dict[str, float] = {}
    fill_s = fit.fill_s_per_sqrt_byte * math.sqrt(size_bytes)
    for algorithm in between_algorithms(op):
        share = nic_share(op, algorithm, domains, gpus, between.nics)
        network_s = share * size_bytes / between.nic_bytes_per_s
        name = f"hierarchical-{algorithm}"
        starts[name] = start_s + network_steps(op, algorithm, domains) * fit.hop_s
        candidates[name] = starts[name] + max(domain_s, network_s) / fit.efficiency + fill_s
    best = min(candidates, key=candidates.__getitem__)
    return Timed(
        op, size_bytes, gpus, domains, best, candidates[best], starts[best], candidates,
        tuple(basis), max(errors),
    )  # fmt: skip


def _domain_part(op: str, domains: int, inside: int) -> float:
    """Bytes over a GPU's NVLink, over those of ``op`` inside one domain alone with the same S.

    A ring through all GPUs crosses nearly every GPU's NVLink with all of S; of an all-to-all only
    the parts for the own domain stay inside.
    """
    gpus = domains * inside
    if op in ("all-gather", "reduce-scatter"):
        return bus_factor(op, gpus) / bus_factor(op, inside)
    if op == "all-to-all":
        return (inside - 1) / gpus / bus_factor(op, inside)
    return 1.0


def _check_network(between: Between, inside: int) -> None:
    if not 1 <= between.nics <= inside:
        raise RackplanError(f"a domain's {inside} GPUs use 1 to {inside} NICs, not {between.nics}")
    if not (between.nic_bytes_per_s > 0.0 and math.isfinite(between.nic_bytes_per_s)):
        raise RackplanError(f"NICs need a rate above 0, not {between.nic_bytes_per_s:g} bytes/s")


def _outside(size_bytes: float, least_bytes: float, most_bytes: float) -> str | None:
    """What to say of a size that was not measured."""
    if least_bytes <= size_bytes <= most_bytes:
        return None
    return f"sizes from {_size(least_bytes)} to {_size(most_bytes)} were measured"


def _size(size_bytes: float) -> str:
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.4g} {unit}"
    return f"{size_bytes:.4g} B"


def _listed(spans_: tuple[int, ...]) -> str:
    return " and ".join(map(str, spans_))
