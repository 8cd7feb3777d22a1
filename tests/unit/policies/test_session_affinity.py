"""Session affinity: where sessions go, how few move, and what bounds a hot one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from sim.errors import RackplanError
from sim.policies.base import RoutingView
from sim.policies.routing.least_outstanding import LeastOutstandingTokens
from sim.policies.routing.session_affinity import SessionAffinity
from sim.rng import KeyedBits
from tests.engine_world import Given, constant_cost, model, policy, pool, scenario, serve, workload

RNG = KeyedBits(1, "policy/routing/pool")


def view(
    session: int, tokens: tuple[int, ...] = (0,) * 4, ids: tuple[int, ...] = ()
) -> RoutingView:
    """A request of 100 tokens."""
    return RoutingView(
        time_s=0.0, request_id=7, input_tokens=90, expected_output_tokens=10, priority=1,
        replicas=len(tokens), outstanding_requests=(0,) * len(tokens), outstanding_tokens=tokens,
        prefix_ids=ids, session=session,
    )  # fmt: skip


def order(router: SessionAffinity, *what: Any) -> list[int]:
    """Where the router would send a request, best first."""
    return list(router.decide(view(*what), None, RNG))


def test_every_session_has_an_order_of_its_own_and_keeps_it() -> None:
    router = SessionAffinity()
    assert order(router, 5) == order(router, 5)
    assert sorted(order(router, 5)) == [0, 1, 2, 3]
    firsts = Counter(order(router, session)[0] for session in range(4000))
    assert all(900 < count < 1100 for count in firsts.values())  # 1000, standard deviation 27


def test_one_more_replica_takes_its_share_and_moves_nobody_else() -> None:
    router = SessionAffinity()
    before = [order(router, session)[0] for session in range(4000)]
    after = [order(router, session, (0,) * 5)[0] for session in range(4000)]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {4}
    assert 700 < len(moved) < 900  # a fifth of 4000


def test_a_replica_that_goes_leaves_the_order_of_the_others() -> None:
    """The engine skips replicas that are down, so their sessions go to their next choice."""
    router = SessionAffinity()
    for session in range(100):
        five = order(router, session, (0,) * 5)
        assert [position for position in five if position != 4] == order(router, session)


@pytest.mark.parametrize(("load", "stays"), [(300, True), (301, False)])
def test_the_bound_counts_the_request_on_both_sides(load: int, stays: bool) -> None:
    """load + 100 against 2 · (4 · 100/4 + 100) with three others that share the rest."""
    router = SessionAffinity(bound=2.0)
    home = order(router, 5)[0]
    rest = [0, 0, 0] if load > 300 else [40, 30, 30]
    tokens = [rest.pop() if position != home else load for position in range(4)]
    assert (order(router, 5, tuple(tokens))[0] == home) is stays


def test_what_is_above_the_bound_goes_to_the_next_choice() -> None:
    router = SessionAffinity(bound=1.5)
    quiet = order(router, 5)
    tokens = [0, 0, 0, 0]
    tokens[quiet[0]] = 10_000
    assert order(router, 5, tuple(tokens)) == [*quiet[1:], quiet[0]]


def test_an_idle_pool_keeps_sessions_that_meet_at_a_replica() -> None:
    router = SessionAffinity(bound=2.0)
    home = order(router, 5)[0]
    tokens = [0, 0, 0, 0]
    tokens[home] = 100
    assert order(router, 5, tuple(tokens))[0] == home


def test_without_a_session_the_beginning_of_the_prompt_stands_for_it() -> None:
    router = SessionAffinity(prefix_blocks=2)
    a = order(router, -1, (0,) * 4, (1, 2, 3))
    assert a == order(router, -1, (0,) * 4, (1, 2, 9))
    found = {tuple(order(router, -1, (0,) * 4, (1, block))) for block in range(50)}
    assert len(found) > 10
    assert order(router, 5, (0,) * 4, (1, 2)) == order(router, 5)  # the session is stronger


def test_where_nothing_is_known_it_is_least_outstanding_tokens() -> None:
    plain = LeastOutstandingTokens()
    for router in (SessionAffinity(), SessionAffinity(prefix_blocks=0)):
        ids = () if router.prefix_blocks else (1, 2, 3)
        for tokens in [(3, 1, 2), (0, 0, 0), (5, 5, 1)]:
            seen = view(-1, tokens, ids)
            assert list(router.decide(seen, None, RNG)) == list(plain.decide(seen, None, RNG))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bound": 0.9}, "bound must be at least 1, which is the mean, not 0.9"),
        ({"bound": float("nan")}, "bound must be at least 1"),
        ({"prefix_blocks": -1}, "prefix_blocks must be 0 or more, not -1"),
    ],
)
def test_senseless_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(RackplanError, match=message):
        SessionAffinity(**parameters)


def replicas_of_sessions(router: Any, rows: list[dict[str, Any]]) -> dict[int, set[int]]:
    """Session → the replicas that served it, of four that take a second for an iteration."""
    four = replace(pool(model(constant_cost(1.0)), replicas=4), routing=router)
    run = serve(scenario([four], [workload()]), [Given(rows)])
    found: dict[int, set[int]] = {}
    for row in run.rows("requests"):
        found.setdefault(rows[row["request_id"]]["session"], set()).add(row["replica"])
    return found


def test_a_session_stays_at_one_replica_in_a_run() -> None:
    rows = [
        {"arrival_s": 0.5 * i, "input_tokens": 64, "output_tokens": 4, "session": i * 7 % 10}
        for i in range(100)
    ]
    kept = replicas_of_sessions(SessionAffinity(bound=100.0), rows)
    assert all(len(replicas) == 1 for replicas in kept.values())
    assert len(set.union(*kept.values())) > 1
    spread = replicas_of_sessions(policy("routing", "round-robin"), rows)
    assert all(len(replicas) > 1 for replicas in spread.values())


def test_a_hot_session_is_spread_as_the_bound_says() -> None:
    rows = [
        {"arrival_s": 0.1 * i, "input_tokens": 64, "output_tokens": 20, "session": 3}
        for i in range(60)
    ]
    assert len(replicas_of_sessions(SessionAffinity(bound=1000.0), rows)[3]) == 1
    assert len(replicas_of_sessions(SessionAffinity(bound=1.2), rows)[3]) == 4
