"""Hand-made costs and draws for random worlds: exact sums that meet, and sums that never do."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from sim.perf.step import ReplicaModel, StepCost, StepPower

#: Sums of these are exact, so boundaries of different replicas and arrivals on a grid meet.
QUARTER = StepCost(0.25, (0, 1), (0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0)
SIXTEENTH = replace(QUARTER, fixed_s=2.0**-4)
#: By tokens only: a decode-only run has no growth, a chunk costs by its length.
STEPPED = StepCost(2.0**-5, (0, 32, 256), (0.0, 2.0**-4, 2.0**-2), 2.0**-7, 0.0, 0.0, 0.0, 0.0, 0)
#: Grows with every token: boundaries lie on a parabola of exact numbers.
GROWING = StepCost(2.0**-5, (0, 1024), (0.0, 0.5), 2.0**-8, 2.0**-14, 0.0, 2.0**-17, 0.0, 0)
#: Nothing is fixed: an iteration costs by its tokens alone.
BY_TOKENS = StepCost(0.0, (0, 8, 64), (0.0, 2.0**-5, 2.0**-3), 0.0, 2.0**-15, 0.0, 0.0, 0.0, 0)
#: No two sums of these are equal by chance, so the order of operations shows.
IRRATIONAL = StepCost(
    0.0237, (0, 16, 256), (0.0, 0.0011, 0.0813), 3.1e-3, 2.3e-6, 0.0, 4.1e-9, 0.0, 0
)
#: The same with a growth that carries one run through many bins of gaps.
STEEP = StepCost(0.0137, (0, 16, 256), (0.0, 0.011, 0.213), 3.1e-3, 1.3e-4, 0.0, 1.7e-6, 0.0, 0)

EXACT = (QUARTER, SIXTEENTH, SIXTEENTH, STEPPED, GROWING, BY_TOKENS)
ROUNDED = (IRRATIONAL, STEEP)
CONSTANT = (QUARTER, SIXTEENTH)
WINDOWS = (24, 40, 100)


def with_window(cost: StepCost, rng: Random, exact: bool) -> StepCost:
    """``cost`` of an LLM that has sliding-window layers too."""
    unit = 2.0**-13 if exact else 1.9e-4
    return replace(
        cost,
        per_windowed_kv_token_s=unit,
        per_windowed_prefill_pair_s=unit / 32,
        window=rng.choice(WINDOWS),
    )


def slower(cost: StepCost, rng: Random, exact: bool) -> StepCost:
    """``cost`` at a lower clock."""
    factors = (1.0, 1.25, 1.5, 2.0) if exact else (1.0, 1.1, 1.37, 2.3)
    return slower_by(
        cost,
        compute=rng.choice(factors[1:]),
        memory=rng.choice(factors),
        attention=rng.choice(factors),
    )


def slower_by(cost: StepCost, *, compute: float, memory: float, attention: float) -> StepCost:
    """``cost`` with each kind of work slower by its own factor."""
    return replace(
        cost,
        fixed_s=compute * cost.fixed_s,
        grid_s=tuple(compute * s for s in cost.grid_s),
        per_decode_s=memory * cost.per_decode_s,
        per_kv_token_s=memory * cost.per_kv_token_s,
        per_windowed_kv_token_s=memory * cost.per_windowed_kv_token_s,
        per_prefill_pair_s=attention * cost.per_prefill_pair_s,
        per_windowed_prefill_pair_s=attention * cost.per_windowed_prefill_pair_s,
    )


def draws(sequences: int, share: float = 1.0) -> StepPower:
    """Draw that depends on sequences, on context and on the phase; ``share`` of it.

    The second grid step of the prefill has slopes whose values lie exactly between milliwatts.
    """
    decode = tuple(
        tuple(round(share * (260_000 + 7_003 * row + 1_501 * n)) for n in range(sequences + 1))
        for row in range(6)
    )
    prefill = tuple(round(share * mw) for mw in (350_000, 400_000, 400_004, 690_000))
    return StepPower(round(share * 120_000), decode, (0, 16, 24, 400), prefill)


def random_model(
    rng: Random,
    *,
    gpu: str,
    gpus: int,
    sequences: int,
    levels: int,
    blocks: int,
    exact: bool,
    constant: bool,
) -> ReplicaModel:
    """A replica with ``levels`` clocks; in a third of the draws it has sliding windows.

    Args:
        exact: its costs are sums without rounding.
        constant: every iteration costs the same (then they are exact, too).
    """
    cost = rng.choice(CONSTANT if constant else EXACT if exact else ROUNDED)
    if not constant and rng.randrange(3) == 0:
        cost = with_window(cost, rng, exact)
    steps = [cost]
    while len(steps) < levels:
        steps.append(slower(steps[-1], rng, exact))
    shares = (1.0, 0.75, 0.5)[:levels]
    return ReplicaModel(
        gpu,
        gpus,
        tuple(steps),
        tuple(draws(sequences, share) for share in shares),
        tuple(2e9 * share for share in shares),
        blocks,
        (),
    )
