"""The arbiter: policies suggest, this checks physics and takes the first suggestion that holds.

Each refusal has a code and a sentence; both go to the ``decisions`` table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import index
from typing import Any

from sim.check.scenario import Pool
from sim.errors import SimulationError
from sim.policies.base import PlacementView
from sim.site.load import server_out_mw


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
            fits = kind in pool.models and pool.gpu in (None, kind)
            if fits:
                return Refusal("gpu-taken", f"GPU {gpu} already holds a replica")
            return Refusal("gpu-type", f"GPU {gpu} is {kind}, on which this pool cannot run")
    kinds = {site.gpu_types[site.gpu_node[gpu]].name for gpu in gpus}
    if len(kinds) > 1:
        return Refusal("mixed-gpus", f"a replica needs GPUs of one type, not {sorted(kinds)}")
    for start in range(0, size, view.tensor_parallel):
        group = gpus[start : start + view.tensor_parallel]
        if len({int(site.gpu_domain[gpu]) for gpu in group}) > 1:
            return Refusal(
                "nvlink-domain",
                f"a tensor-parallel group of {view.tensor_parallel} would span NVLink domains",
            )
    return None


@dataclass
class RackPower:
    """Worst-case draw of each rack as replicas are placed: placed GPUs at TDP, free ones parked."""

    view: PlacementView
    gpu_mw: list[int] = field(default_factory=list)  # by server

    def __post_init__(self) -> None:
        site = self.view.site
        self.gpu_mw = [
            round(gpu.parked_w * 1000) * node.gpus
            for gpu, node in zip(site.gpu_types, site.node_types, strict=True)
        ]

    def refuse(self, gpus: tuple[int, ...]) -> Refusal | None:
        """Whether the racks of ``gpus`` would exceed their rating with these GPUs at TDP."""
        trial = self._with(gpus)
        site = self.view.site
        for rack in sorted({int(site.node_rack[site.gpu_node[gpu]]) for gpu in gpus}):
            servers = [s for s in range(len(site.node_names)) if site.node_rack[s] == rack]
            worst_w = sum(server_out_mw(site.node_types[s], trial[s]) for s in servers) / 1000
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

    def _with(self, gpus: tuple[int, ...]) -> list[int]:
        site = self.view.site
        trial = list(self.gpu_mw)
        for gpu in gpus:
            server = int(site.gpu_node[gpu])
            kind = site.gpu_types[server]
            trial[server] += round(kind.tdp_w * 1000) - round(kind.parked_w * 1000)
        return trial


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
