"""What is timed, and in which order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.calibrate.kernel import Kernel
from sim.calibrate.order import Order, Works
from sim.calibrate.plan import Candidate, candidates, space_filling


def flat(family: tuple[str, str], works: Works) -> NDArray[np.float64]:
    """Every kernel costs a tenth of a second."""
    return np.full(len(works.flops), 0.1)


def take(order: Order, count: int) -> list[Kernel]:
    return order.take(count, flat, 1e9, 1e18)


def test_the_plan_has_layers_of_real_llms_and_what_lies_between() -> None:
    kernels = {candidate.kernel for candidate in candidates(1)}
    for m in (1, 64, 16384):  # gate and up of Llama-3.1-70B over 4 GPUs; QKV of the 8B
        assert Kernel("gemm", "bf16", (m, 14336, 8192)) in kernels
        assert Kernel("gemm", "fp32", (m, 6144, 4096)) in kernels
    assert Kernel("decode_attention", "bf16", (64, 4096, 16, 2, 128)) in kernels
    kinds = {kernel.kind for kernel in kernels}
    assert {"copy", "triad", "prefill_attention", "rms_norm", "silu_mul", "peer_copy"} < kinds
    assert {k.named["ranks"] for k in kernels if k.kind == "all_reduce"} == {2}
    eight = {c.kernel for c in candidates(8)}
    assert {k.named["ranks"] for k in eight if k.kind == "all_reduce"} == {2, 4, 8}


def test_the_space_is_filled_evenly() -> None:
    pairs = np.log2(np.array(space_filling(96), dtype=float))
    assert (pairs >= 8).all()
    assert (pairs <= 15).all()
    # In a 4 x 4 grid of octaves every cell holds about a sixteenth.
    cells = np.floor((pairs - 8) / 7 * 4).clip(0, 3)
    counts = np.bincount((cells[:, 0] * 4 + cells[:, 1]).astype(int), minlength=16)
    assert counts.min() >= 4
    assert counts.max() <= 8


def test_the_order_spreads_first_and_fills_gaps_later() -> None:
    sizes = [1 << power for power in range(16, 33)]
    order = Order([Candidate(Kernel("copy", "fp32", (s,)), 1.0) for s in sizes], lambda k: None)
    octaves = [kernel.coordinates[0] for kernel in take(order, 5)]
    assert np.ptp(octaves) >= 12
    # The first five are far from each other; taken in order of size they would be neighbours.
    assert np.diff(sorted(octaves)).min() >= 2


def test_the_order_goes_by_worth_per_second() -> None:
    cheap, dear = Kernel("copy", "fp32", (1 << 20,)), Kernel("copy", "fp32", (1 << 30,))

    def costs(family: tuple[str, str], works: Works) -> NDArray[np.float64]:
        return works.bytes / 1e9

    def first(weight_of_dear: float, left_s: float = 1e9) -> list[Kernel]:
        both = [Candidate(cheap, 1.0), Candidate(dear, weight_of_dear)]
        return Order(both, lambda k: None).take(2, costs, left_s, 1e18)

    assert first(1.0) == [cheap, dear]
    assert first(5000.0) == [dear, cheap]
    assert first(5000.0, left_s=1.0) == [cheap]  # the other does not fit into the time
    memory = Order([Candidate(dear, 1.0)], lambda k: None)
    assert memory.take(1, costs, 1e9, 1e6) == []


def test_what_is_done_is_known_and_not_taken_again() -> None:
    every = candidates(0)

    def refuses(kernel: Kernel) -> str | None:
        return None if kernel.family == ("gemm", "fp32") else "not now"

    whole = take(Order(every, refuses), 40)
    assert len(set(whole)) == 40
    rest = Order(every, refuses, whole[:25])
    assert take(rest, 15) == whole[25:]  # as if it had never been stopped
    assert rest.refused["copy", "fp32", "not now"] == 17
