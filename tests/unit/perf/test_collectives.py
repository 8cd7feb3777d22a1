"""Collectives: bytes that must move, the closed form's limits, flows that conserve."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import RackplanError
from sim.kernels.flows import complete_flows
from sim.perf.collectives import constants, ops
from sim.perf.collectives.constants import Piece
from sim.perf.collectives.flows import Plan, plan_collective
from sim.perf.collectives.timing import LOW, Between, time_collective
from sim.site.fabric.types import Fabric
from tests.unit.site.fabrics import built, plan_of, site_of

RDMA = Between(8, 50e9)
SIZES = st.floats(1.0, 1e11)


@pytest.fixture(scope="module")
def rails() -> Fabric:
    """Four servers of 8 H100 on rails."""
    return built(site_of(4), plan_of())


def gpus_of(op: str, many: int) -> int:
    return 2 if op == "point-to-point" else many


def phase_of(plan: Plan, name: str) -> dict[tuple[int, int], float]:
    (phase,) = (phase for phase in plan.phases if phase.name == name)
    flows = zip(phase.source.tolist(), phase.target.tolist(), phase.size_bytes, strict=True)
    return {(source, target): float(size) for source, target, size in flows}


def test_bus_factors_are_those_of_nccl_tests() -> None:
    assert [ops.bus_factor(op, 8) for op in ops.OPS] == [1.75, 0.875, 0.875, 0.875, 1.0, 1.0]
    timed = time_collective("all-reduce", 1e9, "h100-sxm", 8)
    assert timed.algbw_bytes_per_s == pytest.approx(1e9 / timed.time_s)
    assert timed.busbw_bytes_per_s == pytest.approx(1.75 * timed.algbw_bytes_per_s)


@pytest.mark.parametrize("domains", [2, 3, 4, 5, 8, 31])
def test_both_trees_reach_every_domain_and_send_what_a_ring_sends(domains: int) -> None:
    edges = ops.tree_edges(domains)
    for tree in (edges[: domains - 1], edges[domains - 1 :]):
        assert len({child for _, child in tree}) == domains - 1
        assert {end for edge in tree for end in edge} == set(range(domains))
    sent = 0.5 * 2 * len(edges)  # a half up and down over each edge
    assert sent == pytest.approx(domains * 2 * (domains - 1) / domains)
    ring = ops.nic_share("all-reduce", "ring", domains, domains, 1)
    assert ring - 1e-12 <= ops.tree_share(domains) <= 2.0
    assert ops.tree_depth(domains) == math.floor(math.log2(domains))


def test_two_domains_make_the_same_ring_and_tree() -> None:
    assert ops.tree_share(2) == ops.nic_share("all-reduce", "ring", 2, 16, 1) == 1.0
    steps = [ops.network_steps("all-reduce", kind, 2) for kind in ("ring", "tree")]
    assert steps == [2, 2]


def test_the_fill_term_goes_on_along_its_tangent() -> None:
    piece = Piece(1e-5, 2e-12, 3e-9, 1e8)
    assert piece.seconds(4e6) == pytest.approx(1e-5 + 8e-6 + 3e-9 * 2e3)
    above, below = piece.rate_s(1e8 * (1 + 1e-9)), piece.rate_s(1e8 * (1 - 1e-9))
    assert above == pytest.approx(below, rel=1e-8)
    slope = (piece.rate_s(3e8) - piece.rate_s(2e8)) / 1e8
    assert slope == pytest.approx(2e-12 + 3e-9 / (2 * 1e4))
    slope_before = (piece.rate_s(1e8) - piece.rate_s(1e8 - 1e4)) / 1e4
    assert slope == pytest.approx(slope_before, rel=1e-3)


@pytest.mark.parametrize("op", ops.OPS)
@settings(max_examples=40)
@given(one=SIZES, other=SIZES, domains=st.sampled_from([1, 2, 5]), bits=st.sampled_from([8, 16]))
def test_more_bytes_never_take_less_time(
    op: str, one: float, other: float, domains: int, bits: int
) -> None:
    if op == "point-to-point":
        domains = min(domains, 2)
    gpus = gpus_of(op, 8 * domains)
    between = Between(min(8, gpus // domains), 50e9)
    less, more = (
        time_collective(op, size, "h100-sxm", gpus, domains=domains, between=between, bits=bits)
        for size in sorted((one, other))
    )
    assert less.time_s <= more.time_s
    assert less.time_s == min(less.candidates.values())
    assert less.latency_s <= less.time_s


def test_small_sizes_take_the_low_latency_protocols_and_large_ones_the_switch() -> None:
    small, large = (time_collective("all-reduce", s, "h100-sxm", 8) for s in (1e3, 1e9))
    assert (small.algorithm, large.algorithm) == (LOW, "nvls")
    assert small.time_s == pytest.approx(small.latency_s, rel=0.05)
    # Hopper's switches add up no integers.
    byte = time_collective("all-reduce", 1e9, "h100-sxm", 8, bits=8)
    assert byte.algorithm == "ring"
    assert byte.time_s > 1.2 * large.time_s


@pytest.mark.parametrize("gpu", constants.gpus())
def test_low_latency_holds_up_to_one_size(gpu: str) -> None:
    for op in ops.OPS[:4]:
        for span in constants.spans(gpu, op):
            fit = constants.domain_fit(gpu, span, op, 16)
            sizes = np.geomspace(1.0, 1e11, 300)
            low = [fit.is_low(float(size)) for size in sizes]
            assert low == sorted(low, reverse=True)
            for size in sizes[~np.array(low)]:
                timed = time_collective(op, float(size), gpu, span)
                assert timed.time_s == fit.bulk.seconds(float(size))


def test_an_nvls_reduction_may_exceed_the_links_of_a_ring() -> None:
    fit = constants.domain_fit("h100-sxm", 8, "all-reduce", 16)
    slope = fit.bulk.s_per_byte + fit.bulk.fill_s_per_sqrt_byte / (
        2 * math.sqrt(fit.bulk.fill_cap_bytes)
    )
    assert 450e9 < 1.75 / slope < 500e9
    assert ops.sent_share("all-reduce", "nvls", 8) / slope < 450e9


@pytest.mark.parametrize("gpu", constants.gpus())
def test_no_fit_is_faster_than_the_links(gpu: str) -> None:
    links = {"a100-sxm": 300e9, "h100-sxm": 450e9, "h200-sxm": 450e9, "l40s": 64e9}
    for op in ops.OPS[:4]:
        for span in constants.spans(gpu, op):
            for bits in (8, 16):
                fit = constants.domain_fit(gpu, span, op, bits)
                timed = time_collective(op, fit.most_bytes, gpu, span, bits=bits)
                sent = ops.sent_share(op, fit.algorithm, span) * fit.most_bytes
                assert sent / timed.time_s < links.get(gpu, 900e9)


class TestBasis:
    """What was not measured is said, and widens the error."""

    def test_measured(self) -> None:
        timed = time_collective("all-gather", 1e6, "h100-sxm", 8)
        assert timed.basis == ()
        assert timed.error == constants.domain_fit("h100-sxm", 8, "all-gather", 16).errors.p90

    @pytest.mark.parametrize(
        ("op", "size", "gpus", "said"),
        [
            ("all-gather", 1e12, 8, "sizes from 512 B to 512 MiB were measured"),
            ("all-gather", 10.0, 8, "sizes from 512 B to 512 MiB were measured"),
            ("all-gather", 1e6, 6, "all-gather was measured between 8 GPUs of h100-sxm, not 6"),
            ("broadcast", 1e6, 8, "broadcast was not measured: rates of all-gather"),
            ("point-to-point", 1e6, 2, "point-to-point was not measured: rates of all-to-all"),
        ],
    )
    def test_extrapolated(self, op: str, size: float, gpus: int, said: str) -> None:
        timed = time_collective(op, size, "h100-sxm", gpus)
        assert timed.basis == (said,)
        assert timed.error >= constants.spread().size

    def test_between_domains(self) -> None:
        two = time_collective("all-reduce", 1e9, "h100-sxm", 16, domains=2, between=RDMA)
        assert two.basis == ()
        assert two.error < 0.06
        four = time_collective("all-reduce", 1e9, "h100-sxm", 32, domains=4, between=RDMA)
        assert four.basis == ("4 domains: only 2 were measured",)
        assert four.error == 1.0
        slow = replace(RDMA, nics=4, nic_bytes_per_s=25e9)
        odd = time_collective("all-gather", 1e9, "h100-sxm", 8, domains=2, between=slow)
        assert odd.basis == (
            "all-gather was measured between 8 GPUs of h100-sxm, not 4",
            "all-gather over rdma was not measured: constants of all-reduce",
            "4 GPUs in each domain: only 8 were measured over a network",
            "NICs of 200 Gb/s: 400 Gb/s were measured",
        )

    def test_numbers_of_a_width_that_was_not_measured(self) -> None:
        timed = time_collective("all-reduce", 1e9, "gb200", 72, bits=8)
        assert timed.basis == (
            "all-reduce of 8-bit numbers was not measured on gb200: as 16-bit ones",
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("all-reduce", 1e6, "mi300x", 8), "collectives were not measured on mi300x (known: a100"),
        (("gather", 1e6, "h100-sxm", 8), "unknown operation 'gather' (did you mean 'all-gather'?)"),
        (("all-reduce", 0.0, "h100-sxm", 8), "a collective needs a size above 0, not 0 bytes"),
        (("all-reduce", math.inf, "h100-sxm", 8), "a size above 0, not inf bytes"),
        (("all-reduce", 1e6, "h100-sxm", 1), "a collective needs at least 2 GPUs, not 1"),
        (("point-to-point", 1e6, "h100-sxm", 4), "point-to-point is between 2 GPUs, not 4"),
        (("all-gather", 1e6, "gb200", 72), "all-gather was not measured on gb200, and neither was"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, float, str, int], message: str
) -> None:
    with pytest.raises(RackplanError) as caught:
        time_collective(*arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("domains", "between", "message"),
    [
        (3, RDMA, "16 GPUs do not come out even over 3 domains"),
        (2, None, "2 domains need a network between them"),
        (2, replace(RDMA, nics=9), "a domain's 8 GPUs use 1 to 8 NICs, not 9"),
        (2, replace(RDMA, nic_bytes_per_s=0.0), "NICs need a rate above 0, not 0 bytes/s"),
        (2, replace(RDMA, transport="tcp"), "unknown transport 'tcp' (did you mean 'tcpx'?)"),
    ],
)
def test_networks_that_make_no_sense_are_refused(
    domains: int, between: Between | None, message: str
) -> None:
    with pytest.raises(RackplanError) as caught:
        time_collective("all-reduce", 1e6, "h100-sxm", 16, domains=domains, between=between)
    assert message in str(caught.value)


class TestFlows:
    """Bytes per GPU and per NIC, from the flows, are those of the algebra."""

    @pytest.mark.parametrize("op", ops.OPS)
    @pytest.mark.parametrize("bits", [8, 16])
    def test_inside_a_domain(self, op: str, bits: int, rails: Fabric) -> None:
        n = gpus_of(op, 8)
        plan = plan_collective(op, 8e6, range(n), rails, "h100-sxm", bits=bits)
        (phase,) = plan.phases
        sent = phase.sent_bytes(rails.gpus)[:n]
        got = np.bincount(phase.target, phase.size_bytes, rails.gpus)[:n]
        bulk = next(name for name in plan.alone.candidates if name != LOW)
        share = ops.sent_share(op, bulk, n)
        assert sent.max() == got.max() == pytest.approx(8e6 * share)
        chain = op in ("broadcast", "point-to-point")
        assert sent.sum() == pytest.approx(8e6 * share * (n - chain))

    @pytest.mark.parametrize("op", ops.OPS)
    @pytest.mark.parametrize("domains", [2, 3, 4])
    def test_between_domains(self, op: str, domains: int, rails: Fabric) -> None:
        if op == "point-to-point":
            ranks, domains = [3, 8], 2
        else:
            ranks = list(range(8 * domains))
        plan = plan_collective(op, 8e6, ranks, rails, "h100-sxm")
        network = next(phase for phase in plan.phases if phase.name == "network")
        assert (rails.gpu_domain[network.source] != rails.gpu_domain[network.target]).all()
        sent = network.sent_bytes(rails.gpus)
        inside = len(ranks) // domains
        algorithm = plan.alone.algorithm.removeprefix("hierarchical-")
        share = ops.nic_share(op, algorithm, domains, len(ranks), inside)
        assert sent.max() == pytest.approx(8e6 * share)
        if op not in ("all-to-all", "point-to-point"):  # those stay on their rails
            assert (rails.gpu_rail[network.source] == rails.gpu_rail[network.target]).all()

    def test_an_all_reduce_sends_the_same_in_all_by_ring_and_tree(self, rails: Fabric) -> None:
        plan = plan_collective("all-reduce", 8e6, range(32), rails, "h100-sxm")
        assert plan.alone.algorithm == "hierarchical-tree"
        network = next(phase for phase in plan.phases if phase.name == "network")
        assert network.size_bytes.sum() == pytest.approx(2 * 3 * 8e6)
        assert network.sent_bytes(rails.gpus).sum() == pytest.approx(
            np.bincount(network.target, network.size_bytes).sum()
        )

    def test_an_all_to_all_sends_every_part_once(self, rails: Fabric) -> None:
        plan = plan_collective("all-to-all", 16e6, range(16), rails, "h100-sxm")
        parts = phase_of(plan, "domain") | phase_of(plan, "network")
        assert parts == {(i, j): 1e6 for i in range(16) for j in range(16) if i != j}

    def test_ranks_stay_on_their_rails_in_any_order(self, rails: Fabric) -> None:
        ranks = [7, 0, 3, 11, 15, 8]
        plan = plan_collective("all-reduce", 6e6, ranks, rails, "h100-sxm")
        assert plan.ranks.tolist() == [0, 3, 7, 8, 11, 15]
        assert set(phase_of(plan, "network")) == {
            (0, 8),
            (3, 11),
            (7, 15),
            (8, 0),
            (11, 3),
            (15, 7),
        }

    def test_a_broadcast_starts_at_its_first_rank(self, rails: Fabric) -> None:
        plan = plan_collective("broadcast", 1e6, [2, 0, 1], rails, "h100-sxm")
        assert phase_of(plan, "domain") == {(2, 0): 1e6, (0, 1): 1e6}

    @pytest.mark.parametrize("n", [2, 3, 8])
    @pytest.mark.parametrize("op", ["all-reduce", "all-gather", "reduce-scatter", "all-to-all"])
    def test_on_one_switch_flows_take_the_textbook_time(
        self, op: str, n: int, rails: Fabric
    ) -> None:
        plan = plan_collective(op, 3e8, range(n), rails, "h100-sxm", bits=8)
        (phase,) = plan.phases
        # GPU i sends on link i and receives on link n + i, 400 GB/s each.
        links = np.stack([phase.source, n + phase.target], axis=1).ravel()
        ptr = np.arange(0, len(links) + 1, 2)
        finish = complete_flows(np.zeros(len(phase.source)), phase.size_bytes, ptr, links,
                                np.full(2 * n, 4e11))  # fmt: skip
        assert finish.max() == pytest.approx(ops.bus_factor(op, n) * 3e8 / 4e11, rel=1e-9)

    @pytest.mark.parametrize(
        ("ranks", "message"),
        [
            ([0, 0], "row-rack-1-node-1-gpu-1 is twice among the ranks"),
            ([0, 99], "rank 99 is no GPU: vertices of GPUs are 0 to 31"),
            ([0, 1, 8], "the ranks are 1 to 2 in a domain: take equally many of each"),
            ([0], "a collective needs at least 2 GPUs, not 1"),
        ],
    )
    def test_ranks_that_make_no_sense_are_refused(
        self, ranks: list[int], message: str, rails: Fabric
    ) -> None:
        with pytest.raises(RackplanError) as caught:
            plan_collective("all-reduce", 1e6, ranks, rails, "h100-sxm")
        assert str(caught.value) == message

    def test_a_rank_without_a_nic_is_refused_between_domains(self, rails: Fabric) -> None:
        without = replace(rails, gpu_nic=np.where(np.arange(32) == 9, -1, rails.gpu_nic))
        with pytest.raises(RackplanError, match="node-2-gpu-2 has no NIC"):
            plan_collective("all-reduce", 1e6, range(16), without, "h100-sxm")
        plan_collective("all-reduce", 1e6, range(8, 16), without, "h100-sxm")
