"""``rackplan place``: pods on nodes, policy by policy: how much stays unallocated, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.errors import RackplanError, did_you_mean

if TYPE_CHECKING:
    from sim.place.cluster import Cluster

DEFAULT_POLICIES = ("best-fit", "fgd", "absorb")
MOST_SEEDS = 1000
MOST_ARRIVAL = 100.0
MOST_OPTIMAL_S = 1e6


def place(
    nodes: Annotated[
        Path, typer.Option("--nodes", metavar="FILE", help="nodes: CSV, or Kubernetes JSON")
    ],
    pods: Annotated[
        Path, typer.Option("--pods", metavar="FILE", help="pods: CSV, or Kubernetes JSON")
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="KIND", help="one or more (repeat, or with commas); all"),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="A..B", help="first..last, or a list with commas")
    ] = "42..44",
    arrival: Annotated[
        str, typer.Option("--arrival", help="demand until which pods arrive, of all GPUs; or list")
    ] = "1.3",
    quota: Annotated[
        list[str] | None,
        typer.Option("--quota", metavar="TENANT=GPUS", help="most GPUs of a tenant (repeat)"),
    ] = None,
    bound: Annotated[
        bool, typer.Option("--bound", help="also how far any policy could get (linear programs)")
    ] = False,
    optimal: Annotated[
        float | None,
        typer.Option(
            "--optimal",
            metavar="SECONDS",
            help="also the best placement of the first seed's pods (integer program), in this time",
        ),
    ] = None,
    load: Annotated[
        list[Path] | None,
        typer.Option("--load", metavar="FILE.py", help="Python file that registers a policy"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Replay a list of pods on a list of nodes, and say what each policy leaves unallocated.

    For each seed the pods are shuffled, drawn again until demand is ARRIVAL of the GPUs (or taken
    out), and placed one at a time: where the policy says, or nowhere if none fits. Nothing departs.
    With --arrival list each pod comes once, in the order of its file.
    CSV has the columns of the openb trace: sn, cpu_milli, memory_mib, gpu, model (rack, leaf), and
    name, cpu_milli, memory_mib, num_gpu, gpu_milli (gpu_spec, priority, tenant, isolation).
    """
    from sim.place.read import read_lists

    kinds = _policies(policy, load or ())
    numbers, share = read_seeds(seeds), read_arrival(arrival)
    cluster = read_lists(nodes, pods)
    quotas = _quotas(quota or ())
    if optimal is not None:
        _check_optimal(cluster, quotas, optimal)
    answer = _run(cluster, kinds, numbers, share, quotas, bound)
    if optimal is not None:
        from sim.place.snapshot import snapshot

        answer["optimal"] = snapshot(cluster, kinds, numbers[0], share, optimal)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    from sim.cli.place_table import print_report
    from sim.cli.summary import console

    print_report(answer, console())


def _run(
    cluster: Cluster,
    kinds: dict[str, type[Any]],
    seeds: tuple[int, ...],
    arrival: float | None,
    quotas: dict[str, float],
    bound: bool,
) -> dict[str, Any]:
    """Every policy under every seed; the JSON answer."""
    from sim.cli.place_bar import place_bar
    from sim.place.report import as_dict, report

    found: dict[str, Any] = {}
    with place_bar(len(kinds) * len(seeds)) as (show, done):
        for kind, cls in kinds.items():
            show(kind)
            found[kind] = as_dict(report(cluster, kind, cls(), seeds, arrival, quotas, done))
    answer = {
        "nodes": {
            "file": cluster.nodes.file,
            "count": len(cluster.nodes),
            "gpus": cluster.nodes.gpu_milli // 1000,
        },
        "pods": {
            "file": cluster.pods.file,
            "count": len(cluster.pods),
            "demand_pct": 100.0 * float(cluster.pods.request.sum()) / cluster.nodes.gpu_milli,
        },
        "arrival_pct": None if arrival is None else 100.0 * arrival,
        "seeds": list(seeds),
        "policies": found,
        "notes": list(cluster.notes),
    }
    if bound:
        from sim.place.bound import bounds

        answer["bound"] = bounds(cluster, seeds, arrival)
    return answer


def _policies(wanted: Iterable[str] | None, files: Iterable[Path]) -> dict[str, type[Any]]:
    """Kind → class of the policies to compare.

    Raises:
        RackplanError: an unknown kind, or one that cannot rank nodes.
    """
    from sim.place.load import load_policies
    from sim.policies.base import policies
    from sim.policies.scoring import scores

    own = load_policies(files)
    known = policies("placement")
    able = {kind: cls for kind, cls in known.items() if scores(cls)}
    names = [name.strip() for text in wanted or () for name in text.split(",")]
    if not names:
        names = [*DEFAULT_POLICIES, *own]
    if "all" in names:
        names = list(able)
    chosen: dict[str, type[Any]] = {}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, able, most=20)
            raise RackplanError(f"--policy: unknown placement policy {name!r}{hint}")
        if name not in able:
            raise RackplanError(
                f"--policy: {name!r} decides by a site's topology and has no score; lists of nodes "
                f"have none (those that score: {', '.join(able)})"
            )
        chosen[name] = able[name]
    return chosen


def read_seeds(text: str) -> tuple[int, ...]:
    """``42..51``, ``42,43`` or ``42``.

    Raises:
        RackplanError: it is none of these, or holds too many.
    """
    wrong = RackplanError(f"--seeds: {text!r} is not like 42..51, 42,43 or 42")
    seeds: list[int] = []
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        if not (first.isascii() and first.isdigit() and len(first) < 19):
            raise wrong
        if dots and not (last.isascii() and last.isdigit() and len(last) < 19):
            raise wrong
        low, high = int(first), int(last) if dots else int(first)
        if high < low or high - low >= MOST_SEEDS:
            raise RackplanError(f"--seeds: {part!r} is not first..last of up to {MOST_SEEDS} seeds")
        seeds += range(low, high + 1)
    if len(set(seeds)) != len(seeds):
        raise RackplanError(f"--seeds: {text!r} names a seed twice")
    return tuple(seeds)


def read_arrival(text: str) -> float | None:
    """``1.3`` or ``130%``; None of ``list``.

    Raises:
        RackplanError: it is no share above 0 and up to a hundred times the GPUs.
    """
    body = text.strip()
    if body == "list":
        return None
    try:
        value = float(body.removesuffix("%")) / (100.0 if body.endswith("%") else 1.0)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= MOST_ARRIVAL:
        raise RackplanError(
            f"--arrival: {text!r} is not a share of the GPUs such as 1.3 or 130%, at most "
            f"{MOST_ARRIVAL:g}; nor is it list"
        )
    return value


def _check_optimal(cluster: Cluster, quotas: dict[str, float], limit_s: float) -> None:
    """Before anything is run.

    Raises:
        RackplanError: no time, or rules that the program does not know.
    """
    from sim.place.optimal import refuse_rules

    if not 0.0 < limit_s <= MOST_OPTIMAL_S:
        raise RackplanError(
            f"--optimal: {limit_s:g} is not a time in seconds above 0 and up to {MOST_OPTIMAL_S:g}"
        )
    refuse_rules(cluster, quotas)


def _quotas(texts: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        tenant, sign, amount = text.partition("=")
        try:
            gpus = float(amount) if sign else -1.0
        except ValueError:
            gpus = -1.0
        if not 0.0 <= gpus < 1e9:
            raise RackplanError(f"--quota: {text!r} is not like team-a=64 (GPUs)")
        found[tenant.strip()] = gpus
    return found
