"""``rackplan collective``: how long a collective takes when it is alone, and on what that rests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.errors import RackplanError, UnknownName, nearest

if TYPE_CHECKING:
    from sim.check.scenario import Scenario
    from sim.on_fabric import OnFabric
    from sim.perf.collectives.timing import Timed
    from sim.site.fabric.types import Fabric

#: Precision → bits of the numbers that NCCL adds up.
_BITS = {"bf16": 16, "fp8": 8, "int8": 8}


def collective(
    op: Annotated[
        str,
        typer.Argument(
            metavar="OP",
            help="all-reduce, all-gather, reduce-scatter, all-to-all, broadcast, point-to-point",
        ),
    ],
    size: Annotated[
        str,
        typer.Option(
            "--bytes", metavar="SIZE", help="S as nccl-tests has it, such as 64MB or '16 MiB'"
        ),
    ],
    gpu: Annotated[str | None, typer.Option(help="type of the GPUs, such as h100-sxm")] = None,
    gpus: Annotated[
        int | None, typer.Option(help="in all; default with --scenario: all of the nodes'")
    ] = None,
    nodes: Annotated[
        int,
        typer.Option(help="servers (NVLink domains) that share the GPUs; of a scenario, the first"),
    ] = 1,
    nic: Annotated[
        str | None, typer.Option(metavar="RATE", help="of each NIC, such as 400Gb/s")
    ] = None,
    nics: Annotated[
        int | None, typer.Option(help="NICs of a server that are used; default: one for each GPU")
    ] = None,
    transport: Annotated[
        str, typer.Option(help="between servers: rdma (InfiniBand, RoCE), tcpxo, tcpx")
    ] = "rdma",
    dtype: Annotated[
        str, typer.Option(help="of the numbers, which matters to reductions: bf16, fp8, int8")
    ] = "bf16",
    scenario: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="put it on the network of this scenario"),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="with --scenario: change a value"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, in SI units")] = False,
) -> None:
    """Print how long a collective takes with nothing beside it, and what the number rests on.

    Without --scenario: between GPUs of one server, or of several (--nodes, --nic) on a network
    without bottlenecks. With it: on the first nodes of the site, over its fabric and by its path
    policy.
    """
    from sim.perf.collectives.ops import check_op

    with _at("OP"):
        check_op(op)
    size_bytes = _quantity("--bytes", size, "bytes")
    _check_counts(("--gpus", gpus), ("--nodes", nodes), ("--nics", nics))
    precision = _precision(dtype)
    bits = _BITS[precision]
    _check_transport(transport)
    if scenario is None:
        if sets:
            raise RackplanError("--set: changes a scenario; it goes with --scenario only")
        timed = _without_site(op, size_bytes, gpu, gpus, nodes, nic, nics, transport, bits)
        _print(_as_measured(timed, precision), None, None, as_json)
        return
    _refuse_beside_scenario(("--gpu", gpu), ("--nic", nic), ("--nics", nics))
    alone, on, fabric = _on_scenario(
        scenario, sets or [], op, size_bytes, nodes, gpus, transport, bits
    )
    _print(_as_measured(alone, precision), on, fabric, as_json)


def _check_counts(*given: tuple[str, int | None]) -> None:
    for flag, number in given:
        if number is not None and number < 1:
            raise RackplanError(f"{flag}: must be at least 1, not {number}")


def _refuse_beside_scenario(*given: tuple[str, object]) -> None:
    for flag, value in given:
        if value is not None:
            raise RackplanError(f"{flag}: the scenario says that; drop it, or --scenario")


def _without_site(
    op: str,
    size_bytes: float,
    gpu: str | None,
    gpus: int | None,
    nodes: int,
    nic: str | None,
    nics: int | None,
    transport: str,
    bits: int,
) -> Timed:
    from sim.perf.collectives.timing import Between, time_collective

    if op == "point-to-point" and gpus is None:
        gpus = 2
    missing = [flag for flag, v in (("--gpu", gpu), ("--gpus", gpus)) if v is None]
    if nodes > 1 and nic is None:
        missing.append("--nic")
    if missing:
        raise RackplanError(f"collective needs {', '.join(missing)} (or --scenario FILE)")
    assert gpu is not None
    assert gpus is not None
    name = _gpu(gpu)
    if gpus % nodes:
        raise RackplanError(f"--gpus: {gpus} do not come out even over {nodes} nodes")
    if nodes == 1:
        for flag, given in (("--nic", nic), ("--nics", nics)):
            if given is not None:
                raise RackplanError(f"{flag}: one server uses no network; say --nodes 2 or more")
        with _at("--gpus"):
            return time_collective(op, size_bytes, name, gpus, bits=bits)
    assert nic is not None
    inside = gpus // nodes
    used = inside if nics is None else nics
    if used > inside:
        raise RackplanError(
            f"--nics: the {inside} GPUs of a server use at most {inside}, not {used}"
        )
    rate = _quantity("--nic", nic, "bytes_per_s")
    between = Between(used, rate, transport)
    with _at("--gpus"):
        return time_collective(
            op, size_bytes, name, gpus, domains=nodes, between=between, bits=bits
        )


def _on_scenario(
    file: Path,
    sets: list[str],
    op: str,
    size_bytes: float,
    nodes: int,
    gpus: int | None,
    transport: str,
    bits: int,
) -> tuple[Timed, OnFabric, Fabric]:
    """The collective on the first nodes of a scenario's site."""
    from sim.check.scenario import serving
    from sim.engine.api import load_scenario
    from sim.on_fabric import time_on_fabric
    from sim.perf.collectives.flows import plan_collective
    from sim.site.fabric.failures import NetworkState

    loaded = serving(load_scenario(file, sets=sets), "--scenario")
    if loaded.fabric is None:
        raise RackplanError(
            f"--scenario: {file} states no network; write 'fabric: {{kind: rail-optimised}}'"
        )
    ranks, name = _ranks(loaded, op, nodes, gpus)
    fabric = loaded.fabric.build(loaded.site)
    with _at("--scenario"):
        plan = plan_collective(op, size_bytes, ranks, fabric, name, transport=transport, bits=bits)
        timed = time_on_fabric(plan, NetworkState(fabric), loaded.paths, loaded.seed)
    return plan.alone, timed, fabric


def _ranks(loaded: Scenario, op: str, nodes: int, gpus: int | None) -> tuple[list[int], str]:
    """The first GPUs of each of the first nodes, and their type."""
    site = loaded.site
    if nodes > len(site.node_names):
        raise RackplanError(f"--nodes: the site has {len(site.node_names)}, not {nodes}")
    types = sorted({kind.name for kind in site.gpu_types[:nodes]})
    if len(types) > 1:
        raise RackplanError(f"--nodes: the first {nodes} have different GPUs: {', '.join(types)}")
    by_node: list[list[int]] = [[] for _ in range(nodes)]
    for rank, node in enumerate(site.gpu_node.tolist()):
        if node < nodes:
            by_node[node].append(rank)
    in_all = sum(map(len, by_node))
    wanted = (2 if op == "point-to-point" else in_all) if gpus is None else gpus
    if wanted > in_all:
        raise RackplanError(f"--gpus: {nodes} nodes have {in_all}, not {wanted}")
    if wanted % nodes:
        raise RackplanError(f"--gpus: {wanted} do not come out even over {nodes} nodes")
    return [rank for node in by_node for rank in node[: wanted // nodes]], types[0]


def _gpu(name: str) -> str:
    """The name that constants are under: the catalog's, or that of a GPU only measured."""
    from sim.catalog.library import fold, load
    from sim.perf.collectives.constants import gpus

    known = gpus()
    folded = fold(name)
    if folded in known:
        return folded
    catalog = load()
    try:
        canonical = catalog.canonical("gpu", name)
    except UnknownName as error:
        close = nearest(name, [*known, *catalog.gpus])
        hint = (
            f" (did you mean {close!r}?)" if close else f" (measured: {', '.join(sorted(known))})"
        )
        raise RackplanError(f"--gpu: unknown GPU {name!r}{hint}") from error
    if canonical not in known:
        raise RackplanError(
            f"--gpu: collectives were not measured on {canonical} "
            f"(known: {', '.join(sorted(known))})"
        )
    return canonical


def _precision(dtype: str) -> str:
    from sim.catalog.library import load

    with _at("--dtype"):
        precision = load().canonical("precision", dtype)
    if precision not in _BITS:
        raise RackplanError(f"--dtype: NCCL adds up no {precision}: say {', '.join(_BITS)}")
    return precision


def _as_measured(timed: Timed, precision: str) -> Timed:
    """Say that 8-bit sums were measured of integers."""
    from sim.perf.collectives.constants import spread
    from sim.perf.collectives.ops import REDUCTIONS

    if precision != "fp8" or timed.op not in REDUCTIONS:
        return timed
    basis = (*timed.basis, "sums of fp8 were not measured: as int8")
    return replace(timed, basis=basis, error=max(timed.error, spread().operation))


def _check_transport(transport: str) -> None:
    from sim.perf.collectives.constants import transports

    if transport not in transports():
        with _at("--transport"):
            raise UnknownName("transport", transport, transports())


def _quantity(flag: str, text: str, dimension: str) -> float:
    from sim.units import parse_quantity

    with _at(flag):
        value = parse_quantity(text, dimension)
        if value <= 0.0:
            raise RackplanError(f"must be above 0, not {text!r}")
        return value


@contextmanager
def _at(flag: str) -> Iterator[None]:
    """What goes wrong inside is said of this flag."""
    try:
        yield
    except RackplanError as error:
        raise RackplanError(f"{flag}: {error}") from error


def _print(timed: Timed, on: OnFabric | None, fabric: Fabric | None, as_json: bool) -> None:
    answer = _answer(timed, on, fabric)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    for label, text in _lines(timed, on, fabric, answer["time_s"]):
        print(f"{label:<12}{text}".rstrip())


def _answer(timed: Timed, on: OnFabric | None, fabric: Fabric | None) -> dict[str, Any]:
    """Everything as JSON types."""
    from sim.perf.collectives.ops import bus_factor

    time_s = timed.time_s if on is None else on.time_s
    algbw = timed.size_bytes / time_s
    answer: dict[str, Any] = {
        "op": timed.op,
        "size_bytes": timed.size_bytes,
        "gpus": timed.gpus,
        "domains": timed.domains,
        "time_s": time_s,
        "algbw_bytes_per_s": algbw,
        "busbw_bytes_per_s": algbw * bus_factor(timed.op, timed.gpus),
        "algorithm": timed.algorithm,
        "candidates_s": dict(timed.candidates),
        "latency_s": timed.latency_s,
        "basis": "extrapolated" if timed.basis else "measured",
        "not_measured": list(timed.basis),
        "error": timed.error,
    }
    if on is not None and fabric is not None:
        busiest = fabric.link_name(on.busiest_link) if on.busiest_link >= 0 else None
        answer["fabric"] = {
            "closed_form_s": timed.time_s,
            "flows_s": on.flows_s,
            "busiest_link": busiest,
            "busiest_s": on.busiest_s,
        }
    return answer


def _lines(
    timed: Timed, on: OnFabric | None, fabric: Fabric | None, time_s: float
) -> list[tuple[str, str]]:
    """The answer for people."""
    from sim.perf.collectives.ops import bus_factor
    from sim.units import format_si

    factor = bus_factor(timed.op, timed.gpus)
    algbw = timed.size_bytes / time_s
    others = ", ".join(
        f"{name} {format_si(seconds, 's')}"
        for name, seconds in timed.candidates.items()
        if name != timed.algorithm
    )
    # A rate of GB/s has its unit fixed, as nccl-tests prints it.
    lines = [
        ("time", f"{format_si(time_s, 's')}, likely {_within(timed.error)}"),
        ("algbw", f"{algbw / 1e9:.4g} GB/s"),
        ("busbw", f"{algbw * factor / 1e9:.4g} GB/s (algbw × {factor:.4g})"),
        ("algorithm", timed.algorithm + (f" ({others})" if others else "")),
        ("basis", "measured" if not timed.basis else "extrapolated: " + timed.basis[0]),
        *(("", text) for text in timed.basis[1:]),
    ]
    if on is not None and fabric is not None and on.busiest_link >= 0:
        bound = "the flows bind" if on.time_s > timed.time_s else "the closed form binds"
        lines.append(
            ("fabric", f"{bound}: flows {format_si(on.flows_s, 's')} after a latency of "
             f"{format_si(timed.latency_s, 's')}, closed form {format_si(timed.time_s, 's')}")
        )  # fmt: skip
        lines.append(
            ("busiest", f"{fabric.link_name(on.busiest_link)}, {format_si(on.busiest_s, 's')} of "
             "its capacity")
        )  # fmt: skip
    return lines


def _within(error: float) -> str:
    return f"within {100 * error:.2g} %" if error < 1.0 else f"within a factor of {1 + error:.2g}"
