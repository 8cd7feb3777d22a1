"""Named cases on the prefix cache."""

from __future__ import annotations

from tests.engine_world import model
from tests.property.engine_pair import Outcome
from tests.property.hand_models import STEEP
from tests.property.named import SECOND, Named, one_pool, requests, row, with_prefixes, work


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


@with_prefixes
def the_deepest_block_is_evicted_first() -> Named:
    """One block is needed: of a released chain the deepest goes, its beginning is still hit."""
    chain = [1, 2, 3]
    rows = [
        row(0.0, 49, 1, prefix_ids=chain),
        row(5.0, 33, 1),
        row(10.0, 49, 1, prefix_ids=chain),
    ]
    case = one_pool(rows, model(SECOND, blocks=5))

    def shows(outcome: Outcome) -> bool:
        return requests(outcome)[2]["prefix_hit_tokens"] == 32

    return Named(case, shows)


@with_prefixes
def hits_are_those_of_the_first_admission() -> Named:
    """The second is preempted and hits its own block when it is recomputed: that does not count."""
    rows = [row(0.0, 20, 60, prefix_ids=[1]), row(0.0, 20, 60, prefix_ids=[9])]
    case = one_pool(rows, model(SECOND, blocks=6))

    def shows(outcome: Outcome) -> bool:
        second, prefilled = requests(outcome)[1], [p for _, p in work(outcome) if p]
        lost = second["preemptions"] == 1 and prefilled == [40, 49 - 16]
        return lost and second["prefix_hit_tokens"] == 0

    return Named(case, shows)


@with_prefixes
def a_cancelled_prefill_gives_back_what_it_hit() -> Named:
    """It leaves in the middle of its prompt; its hits are idle again, and hit again."""
    chain = [1, 2]
    rows = [
        row(0.0, 40, 1, prefix_ids=chain),
        row(9.0, 200, 9, prefix_ids=[1, 2, 7, 8], cancel_after_s=1.5),
        row(20.0, 40, 1, prefix_ids=chain),
    ]
    case = one_pool(rows, model(SECOND, blocks=14), max_batch_tokens=32, max_sequences=4)

    def shows(outcome: Outcome) -> bool:
        found = requests(outcome)
        hits = [found[i]["prefix_hit_tokens"] for i in range(3)]
        return hits == [0, 32, 32] and found[1]["outcome"] == "cancelled"

    return Named(case, shows)
