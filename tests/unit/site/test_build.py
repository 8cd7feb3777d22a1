"""Numbering, names and NVLink domains of a site."""

from __future__ import annotations

import numpy as np
import pytest

from sim.errors import BuildError
from sim.site import HallPlan, RowPlan, build_site, gpu_names

MIXED = [
    HallPlan(
        "hall-a",
        (
            RowPlan("row-1", (("dgx-h100-2", 2), ("dgx-a100-4", 1))),
            RowPlan("row-2", (("gb200-nvl72", 1),)),
        ),
    ),
    HallPlan("hall-b", (RowPlan("row-3", (("l4-16", 1), ("gb200-nvl72", 1))),)),
]


def test_indices_name_the_level_above() -> None:
    site = build_site(MIXED)
    assert site.hall_names == ("hall-a", "hall-b")
    assert site.row_names == ("row-1", "row-2", "row-3")
    assert site.row_hall.tolist() == [0, 0, 1]
    assert site.rack_names == (
        "row-1-rack-1", "row-1-rack-2", "row-1-rack-3", "row-2-rack-1",
        "row-3-rack-1", "row-3-rack-2",
    )  # fmt: skip
    assert site.rack_row.tolist() == [0, 0, 0, 1, 2, 2]
    assert site.node_names[:3] == (
        "row-1-rack-1-node-1", "row-1-rack-1-node-2", "row-1-rack-2-node-1",
    )  # fmt: skip
    assert len(site.node_names) == 2 + 2 + 4 + 18 + 16 + 18
    assert np.bincount(site.node_rack).tolist() == [2, 2, 4, 18, 16, 18]
    assert site.gpus == 8 * (2 + 2 + 4 + 16) + 4 * (18 + 18)
    assert [gpu.name for gpu in site.gpu_types[:5]] == ["h100-sxm"] * 4 + ["a100-sxm"]
    assert [node.name for node in site.node_types[-1:]] == ["gb200-compute-tray"]


def test_gpu_arrays_agree_with_the_nodes() -> None:
    site = build_site(MIXED)
    per_node = np.bincount(site.gpu_node, minlength=len(site.node_names))
    assert per_node.tolist() == [node.gpus for node in site.node_types]
    assert (np.diff(site.gpu_node) >= 0).all()


def test_domains_are_dense_and_end_at_the_node_or_the_rack() -> None:
    site = build_site(MIXED)
    domains = site.gpu_domain
    assert sorted(set(domains.tolist())) == list(range(2 + 2 + 4 + 1 + 16 + 1))
    for node, rack in enumerate(site.node_rack.tolist()):
        mine = set(domains[site.gpu_node == node].tolist())
        assert len(mine) == 1
        sharing = set(site.gpu_node[np.isin(domains, list(mine))].tolist())
        if site.rack_types[rack].nvlink_domain == "rack":
            assert sharing == set(np.flatnonzero(site.node_rack == rack).tolist())
        else:
            assert sharing == {node}


def test_names_are_unique() -> None:
    site = build_site(MIXED)
    gpus = gpu_names(site)
    assert gpus[:2] == ("row-1-rack-1-node-1-gpu-1", "row-1-rack-1-node-1-gpu-2")
    assert len(set(gpus)) == len(gpus) == site.gpus
    assert len(set(site.node_names)) == len(site.node_names)


@pytest.mark.parametrize(
    ("halls", "message"),
    [
        ([], "site.halls: a site needs at least one hall"),
        ([HallPlan("a", ())], "site.halls[0].rows: hall 'a' has no rows"),
        (
            [HallPlan("a", (RowPlan("r", ()),))],
            "site.halls[0].rows[0].racks: row 'r' has no racks",
        ),
        (
            [HallPlan("a", (RowPlan("r", (("dgx-h100-5", 1),)),))],
            "site.halls[0].rows[0].racks[0].type: unknown rack type 'dgx-h100-5' "
            "(did you mean 'dgx-h100-4'?)",
        ),
        (
            [HallPlan("a", (RowPlan("r", (("dgx-h100-4", 1), ("dgx-h100-4", 0))),))],
            "site.halls[0].rows[0].racks[1].count: needs at least 1 rack, not 0",
        ),
        (
            [
                HallPlan("a", (RowPlan("r", (("dgx-h100-4", 1),)),)),
                HallPlan("b", (RowPlan("r", (("dgx-h100-4", 1),)),)),
            ],
            "site.halls[1].rows[0].name: row 'r' is given twice; row names are unique in a site",
        ),
        (
            [
                HallPlan("a", (RowPlan("r", (("dgx-h100-4", 1),)),)),
                HallPlan("a", (RowPlan("s", (("dgx-h100-4", 1),)),)),
            ],
            "site.halls[1].name: hall 'a' is also site.halls[0]",
        ),
    ],
)
def test_impossible_sites(halls: list[HallPlan], message: str) -> None:
    with pytest.raises(BuildError) as caught:
        build_site(halls)
    assert str(caught.value) == message
