"""Named cases on the prefix cache."""

from __future__ import annotations

from tests.engine_world import model
from tests.property.engine_pair import Outcome
from tests.property.hand_models import STEEP
from tests.property.named import SECOND, Named, one_pool, requests, row, with_prefixes


@with_prefixes
def a_run_evicts_before_it_releases() -> Named:
    """A decode's block evicts the idle entry, though the same iteration's end frees four blocks."""
    rows = [row(0.0, 17, 1, prefix_ids=[1]), row(5.0, 40, 10), row(30.0, 17, 1, prefix_ids=[1])]
    case = one_pool(rows, model(SECOND, blocks=4))

    def shows(outcome: Outcome) -> bool:
        return requests(outcome)[2]["prefix_hit_tokens"] == 0

    return Named(case, shows)


@with_prefixes
def a_roomy_run_evicts_nothing() -> Named:
    """The same requests with one block more: what is idle stays and is hit."""
    rows = [row(0.0, 17, 1, prefix_ids=[1]), row(5.0, 40, 10), row(30.0, 17, 1, prefix_ids=[1])]
    case = one_pool(rows, model(SECOND, blocks=5))

    def shows(outcome: Outcome) -> bool:
        return requests(outcome)[2]["prefix_hit_tokens"] == 16

    return Named(case, shows)


@with_prefixes
def prompts_that_begin_alike_are_prefilled_together() -> Named:
    """Nobody hits what is not computed yet: of two own copies one is given back."""
    rows = [row(0.0, 100, 30, prefix_ids=[1, 2, 3, 4, 5]) for _ in range(2)]
    rows += [row(0.25, 90, 40, prefix_ids=[1, 2, 3]) for _ in range(3)]
    case = one_pool(rows, model(STEEP, blocks=24), max_batch_tokens=32, max_sequences=4)

    def shows(outcome: Outcome) -> bool:
        hits = [requests(outcome)[i]["prefix_hit_tokens"] for i in range(5)]
        return hits[:2] == [0, 0] and hits[4] == 48

    return Named(case, shows)


@with_prefixes
def a_lookup_that_admits_nobody_leaves_no_mark() -> Named:
    """The head of the queue finds an idle entry but no room: the entry is still the oldest."""
    old, young = [1], [100]
    rows = [
        row(0.0, 17, 1, prefix_ids=old),
        row(2.0, 17, 1, prefix_ids=young),
        row(5.0, 79, 25),  # takes the last unused block, then the oldest idle one
        row(6.5, 60, 1, prefix_ids=old),
        row(100.0, 17, 1, prefix_ids=young),
    ]
    case = one_pool(rows, model(SECOND, blocks=8))

    def shows(outcome: Outcome) -> bool:
        return [requests(outcome)[i]["prefix_hit_tokens"] for i in (3, 4)] == [0, 16]

    return Named(case, shows)
