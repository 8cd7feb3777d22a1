"""The arbiter: policies suggest, this checks physics and takes the first suggestion that holds.

Each refusal has a code and a sentence; both go to the ``decisions`` table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import index
from typing import Any

from sim.catalog.types import Llm, NodeType
from sim.check.scenario import Pool
from sim.errors import SimulationError
from sim.policies.base import PlacementView
from sim.site.load import loss_in_mw, server_out_mw
from sim.site.types import Site


@dataclass(frozen=True)
class Refusal:
    """Why a suggestion does not hold."""

    code: str
    reason: str


def decision(
    time_s: float,
    role: str,
    policy: str,
    subject: str,
    rank: int,
    suggestion: str,
    refusal: Refusal | None,
) -> dict[str, Any]:
    """One row of the ``decisions`` table."""
    return {
        "t_s": time_s,
        "role": role,
        "policy": policy,
        "subject": subject,
        "rank": rank,
        "suggestion": suggestion,
        "accepted": refusal is None,
        "reason_code": None if refusal is None else refusal.code,
        "reason": None if refusal is None else refusal.reason,
    }


# ---- routing: why not --------------------------------------------------------------------------


def beyond_context(tokens: int, llm: Llm) -> Refusal:
    """No replica of the pool can serve so long a request."""
    return Refusal(
        "context", f"{tokens} tokens exceed the context of {llm.max_context} of {llm.name}"
    )


def beyond_capacity(blocks: int, most: int, pool: str = "") -> Refusal:
    """No replica of the pool, or of the ``pool`` that decodes, has so many KV blocks."""
    where = f" of {pool}" if pool else ""
    return Refusal(
        "kv-capacity", f"{blocks} KV blocks exceed the {most} of the largest replica{where}"
    )


def too_large(blocks: int, kv_blocks: int) -> Refusal:
    """This replica has not so many KV blocks."""
    return Refusal(
        "kv-capacity", f"the request needs {blocks} KV blocks, the replica has {kv_blocks}"
    )


def queue_full(limit: int) -> Refusal:
    """This replica's queue is full."""
    return Refusal("queue-full", f"{limit} requests wait there already (max_queue)")


def turned_away_for_ever(time_s: float, workload: str, outcome: str) -> SimulationError:
    """Clients that are turned away at once come back at once, and time stands still."""
    return SimulationError(
        time_s,
        f"workload {workload}",
        f"clients that are turned away ({outcome}) come back at once, again and again, so "
        "that time stands still; give them a `think` above 0 s",
    )


def nobody_admitted(time_s: float, replica: int) -> SimulationError:
    """A replica could do something and does nothing."""
    return SimulationError(
        time_s, f"replica {replica}", "requests wait, nothing runs, nobody is admitted"
    )


# ---- placement -------------------------------------------------------------------------------


def check_placement(view: PlacementView, pool: Pool, gpus: tuple[int, ...]) -> Refusal | None:
    """Whether a replica of ``pool`` may stand on ``gpus``, or why not."""
    site = view.site
    size = view.tensor_parallel * view.pipeline_parallel
    if len(set(gpus)) != size or len(gpus) != size:
        return Refusal("wrong-size", f"{len(set(gpus))} different GPUs suggested, {size} needed")
    for gpu in gpus:
        if not 0 <= gpu < site.gpus:
            return Refusal("no-such-gpu", f"there is no GPU {gpu} in this site of {site.gpus}")
        if not view.allowed[gpu]:
            kind = site.gpu_types[site.gpu_node[gpu]].name
            if kind not in pool.models or pool.gpu not in (None, kind):
                return Refusal("gpu-type", f"GPU {gpu} is {kind}, on which this pool cannot run")
            if gpu in view.dark:
                return Refusal("no-power", f"GPU {gpu} has no power")
            return Refusal("gpu-taken", f"GPU {gpu} already holds a replica")
    kinds = {site.gpu_types[site.gpu_node[gpu]].name for gpu in gpus}
    if len(kinds) > 1:
        return Refusal("mixed-gpus", f"a replica needs GPUs of one type, not {sorted(kinds)}")
    return _check_domains(view, pool, gpus, *kinds)


def _check_domains(
    view: PlacementView, pool: Pool, gpus: tuple[int, ...], kind: str
) -> Refusal | None:
    """Each tensor-parallel group has one NVLink domain, or one after the other several whole ones.

    How many is what its pool's model was made for.
    """
    across = pool.models[kind].across
    domains = 1 if across is None else across.domains
    ranks = view.tensor_parallel // domains
    for start in range(0, len(gpus), view.tensor_parallel):
        group = view.site.gpu_domain[list(gpus[start : start + view.tensor_parallel])]
        parts = group.reshape(domains, ranks)
        if (parts != parts[:, :1]).any() or len(set(parts[:, 0].tolist())) != domains:
            return Refusal(
                "nvlink-domain",
                f"a tensor-parallel group of {view.tensor_parallel} would span NVLink domains"
                if domains == 1
                else f"a tensor-parallel group of {view.tensor_parallel} would not be {domains} "
                f"whole NVLink domains, rank after rank",
            )
    return None


@dataclass
class RackPower:
    """Worst-case draw of each rack as replicas are placed: placed GPUs at TDP, free ones parked."""

    site: Site
    gpu_mw: list[int] = field(default_factory=list)  # by server
    servers: dict[int, list[int]] = field(default_factory=dict)  # by rack

    def __post_init__(self) -> None:
        site = self.site
        for server, rack in enumerate(site.node_rack.tolist()):
            self.servers.setdefault(rack, []).append(server)
        self.gpu_mw = [
            round(gpu.parked_w * 1000) * node.gpus
            for gpu, node in zip(site.gpu_types, site.node_types, strict=True)
        ]

    def refuse(self, gpus: tuple[int, ...]) -> Refusal | None:
        """Whether the racks of ``gpus`` would exceed their rating with these GPUs at TDP."""
        trial = self._with(gpus)
        site = self.site
        for rack in sorted({int(site.node_rack[site.gpu_node[gpu]]) for gpu in gpus}):
            servers = self.servers[rack]
            worst_w = sum(_intake_mw(site.node_types[s], trial[s]) for s in servers) / 1000
            rating_w = site.rack_types[rack].rating_w
            if worst_w > rating_w:
                return Refusal(
                    "rack-power",
                    f"{site.rack_names[rack]} could draw {worst_w / 1000:.1f} kW, "
                    f"its rating is {rating_w / 1000:.1f} kW",
                )
        return None

    def accept(self, gpus: tuple[int, ...]) -> None:
        """These GPUs hold a replica from now on."""
        self.gpu_mw = self._with(gpus)

    def release(self, gpus: tuple[int, ...]) -> None:
        """And these do not any more."""
        self.gpu_mw = self._with(gpus, -1)

    def _with(self, gpus: tuple[int, ...], sign: int = 1) -> list[int]:
        site = self.site
        trial = list(self.gpu_mw)
        for gpu in gpus:
            server = int(site.gpu_node[gpu])
            kind = site.gpu_types[server]
            trial[server] += sign * (round(kind.tdp_w * 1000) - round(kind.parked_w * 1000))
        return trial


def _intake_mw(node: NodeType, gpu_mw: int) -> int:
    """What a rack delivers to a server whose GPUs draw so much: its supplies' loss counts."""
    return loss_in_mw(server_out_mw(node, gpu_mw), node.psu)


# ---- routing ---------------------------------------------------------------------------------


def checked_positions(
    suggestions: Iterable[Any], replicas: int, time_s: float, policy: str
) -> Iterator[int]:
    """A routing policy's suggestions, each a position in the pool.

    Raises:
        SimulationError: a suggestion that is no position: the policy is wrong, not the traffic.
    """
    for suggestion in suggestions:
        position = index(suggestion) if hasattr(suggestion, "__index__") else -1
        if not 0 <= position < replicas:
            raise SimulationError(
                time_s,
                f"routing policy {policy}",
                f"suggested {suggestion!r}; a position is an integer from 0 to {replicas - 1}",
            )
        yield position


@dataclass(frozen=True)
class Refused:
    """Replicas that refused a request for one reason: the first one's rank and position, and how
    many there were (0: no replica was asked, for none could ever serve it)."""

    rank: int
    position: int
    count: int
    refusal: Refusal

    @property
    def suggestion(self) -> str:
        """The first position, and how many more there were: a large site has thousands."""
        if not self.count:
            return ""
        return str(self.position) if self.count == 1 else f"{self.position} (+{self.count - 1})"


def first_that_holds(
    positions: Iterable[int], refuse: Callable[[int], Refusal | None]
) -> tuple[tuple[int, int] | None, list[Refused]]:
    """(rank, position) of the first that is not refused, or None; and who refused before it.

    Refusals are gathered by reason, in the order in which the reasons came up.
    """
    refused: dict[str, Refused] = {}
    for rank, position in enumerate(positions):
        refusal = refuse(position)
        if refusal is None:
            return (rank, position), list(refused.values())
        first = refused.get(refusal.code) or Refused(rank, position, 0, refusal)
        refused[refusal.code] = replace(first, count=first.count + 1)
    return None, list(refused.values())


def routing_rows(
    time_s: float,
    policy: str,
    request_id: int,
    refused: Sequence[Refused],
    accepted: tuple[int, int] | None,
) -> Iterator[dict[str, Any]]:
    """Rows of the ``decisions`` table: one for each reason of refusal, one for what was taken.

    A first choice that was taken leaves no row: it is in the ``requests`` table already.
    """
    if not refused:
        return
    who = str(request_id)
    for one in refused:
        yield decision(time_s, "routing", policy, who, one.rank, one.suggestion, one.refusal)
    if accepted is not None:
        rank, position = accepted
        yield decision(time_s, "routing", policy, who, rank, str(position), None)
