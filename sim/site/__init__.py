"""The immutable world: where every GPU stands, the power tree above it, and its arithmetic."""

from __future__ import annotations

from sim.site.build import build_site, gpu_names
from sim.site.load import (
    Intake,
    ServerLoad,
    intake,
    loss_in_mw,
    loss_in_mw_array,
    server_load,
    server_out_mw,
    server_out_mw_array,
    split,
    tree_flow,
)
from sim.site.power import build_power_tree
from sim.site.types import (
    GeneratorPlan,
    HallPlan,
    MsbPlan,
    PowerNode,
    PowerPlan,
    PowerTree,
    RowPlan,
    Site,
    UpsPlan,
)

__all__ = [
    "GeneratorPlan",
    "HallPlan",
    "Intake",
    "MsbPlan",
    "PowerNode",
    "PowerPlan",
    "PowerTree",
    "RowPlan",
    "ServerLoad",
    "Site",
    "UpsPlan",
    "build_power_tree",
    "build_site",
    "gpu_names",
    "intake",
    "loss_in_mw",
    "loss_in_mw_array",
    "server_load",
    "server_out_mw",
    "server_out_mw_array",
    "split",
    "tree_flow",
]
