"""Which leaf a GPU is on, and how far leaves are apart."""

from __future__ import annotations

import numpy as np
import pytest

from sim.site.fabric.leaves import NO_WAY, Leaves
from sim.site.fabric.source import servers_only
from sim.site.fabric.types import NO_STORAGE
from tests.unit.site.fabrics import built, plan_of, site_of


def test_rails() -> None:
    """Sixteen ports, eight of them down: eight servers a unit, GPU k on leaf k of its unit."""
    site = site_of(12)
    leaves = Leaves(lambda: built(site, plan_of(radix=16)))
    expected = [8 * (node // 8) + rail for node in range(12) for rail in range(8)]
    assert leaves.gpu_leaf.tolist() == expected
    assert leaves.of_domain[0] == tuple(range(8))
    assert leaves.of_domain[11] == tuple(range(8, 16))
    assert (leaves.hops == np.where(np.eye(16, dtype=bool), 0, 2)).all()


def test_pods() -> None:
    """A server a leaf, eight leaves a pod, cores above: two links inside a pod, four between."""
    leaves = Leaves(lambda: built(site_of(20), plan_of("fat-tree", radix=16)))
    assert leaves.gpu_leaf.tolist() == [node for node in range(20) for _ in range(8)]
    pods = np.array([leaf * 3 // 20 for leaf in range(20)])
    between = np.where(pods[:, None] == pods, 2, 4)
    np.fill_diagonal(between, 0)
    assert (leaves.hops == between).all()


def test_nobody_asks_nothing_is_built() -> None:
    def fail() -> None:
        raise AssertionError("built")

    leaves = Leaves(fail)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="built"):
        leaves.hops  # noqa: B018


def test_without_a_network_there_are_no_leaves() -> None:
    site = site_of(2)
    leaves = Leaves(lambda: servers_only(NO_STORAGE).build(site))
    assert leaves.gpu_leaf.tolist() == [-1] * 16
    assert leaves.of_domain == [(), ()]
    assert leaves.hops.shape == (0, 0)
    assert NO_WAY > 1000
