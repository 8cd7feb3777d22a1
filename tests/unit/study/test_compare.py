"""Comparisons: paired by seed, corrected for what was looked at, and honest where they cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from sim.errors import ResultError, UnknownName
from sim.results.metrics import Metric
from sim.results.result import RunResult
from sim.study.compare import compare
from sim.study.difference import Difference
from sim.study.sides import Side, side_of_run
from tests.unit.results.by_hand import run as run_by_hand
from tests.unit.study.works import metric


def side(name: str, by_seed: Mapping[int, Mapping[str, float | None]], **manifest: Any) -> Side:
    """A side of workload chat from short names or full ones."""
    content = {
        "workloads": [{"name": "chat"}], "pools": [{"name": "chat"}], "resolved": {"x": 1},
        "versions": {"rackplan": "1"}, "inputs": {}, "engine": "reference", **manifest,
    }  # fmt: skip
    seeds: dict[int, dict[str, Metric]] = {
        seed: {metric_name: metric(metric_name, value) for metric_name, value in values.items()}
        for seed, values in by_seed.items()
    }
    return Side(name, content, seeds, ["ups-a"])


def line(
    a: Mapping[int, float | None], b: Mapping[int, float | None], name: str = "chat.ttft_p99"
) -> Difference:
    """The difference of one metric given by seed."""
    sides = [
        side(letter, {seed: {name: value} for seed, value in values.items()})
        for letter, values in (("a", a), ("b", b))
    ]
    return compare(*sides, [name]).differences[0]


NOISE = {1: 1.0, 2: 5.0, 3: 2.0, 4: 9.0}


def test_pairs_show_what_the_values_alone_would_hide() -> None:
    steady = {1: -0.10, 2: -0.12, 3: -0.08, 4: -0.11}
    found = line(NOISE, {seed: NOISE[seed] + steady[seed] for seed in NOISE})
    assert found.difference == pytest.approx(-0.1025)
    assert found.low < found.difference < found.high < 0.0
    assert found.verdict == "better"
    apart = line(NOISE, {seed + 10: NOISE[seed] + steady[seed] for seed in NOISE})
    assert (apart.verdict, apart.difference) == ("no difference shown", pytest.approx(-0.1025))
    assert apart.low < -1.0 < 1.0 < apart.high


def test_better_is_by_the_direction_of_the_metric() -> None:
    more = {seed: value + 0.1 + 0.001 * seed for seed, value in NOISE.items()}
    assert line(NOISE, more, "chat.ttft_p99").verdict == "worse"
    assert line(NOISE, more, "chat.output_tokens_per_s").verdict == "better"
    assert line(NOISE, more, "chat.arrival_rate").verdict == "differs"


def test_the_more_is_looked_at_the_more_it_takes() -> None:
    rng = np.random.default_rng(1)
    names = [f"chat.{family}_{q}" for family in ("ttft", "tpot", "e2e", "queue")
             for q in ("p50", "p90", "p95", "p99", "mean")]  # fmt: skip
    a = {seed: dict.fromkeys(names, 1.0) for seed in range(8)}
    b = {seed: {name: 1.0 + rng.normal() for name in names} for seed in range(8)}
    for seed in b:
        b[seed]["chat.ttft_p99"] = 1.01 + 0.01 * (1 if seed % 2 else -0.9)
    alone = compare(side("a", a), side("b", b), ["chat.ttft_p99"])
    assert (alone.looked_at, alone.differences[0].verdict) == (1, "worse")
    among = compare(side("a", a), side("b", b), names)
    found = {found.name: found for found in among.differences}["chat.ttft_p99"]
    assert among.looked_at == 20
    assert found.p == alone.differences[0].p
    assert (found.verdict, found.p_holm > 0.05 > found.p) == ("unclear", True)


def test_false_findings_are_as_rare_as_claimed() -> None:
    rng = np.random.default_rng(2)
    names = ["chat.goodput_fraction", "chat.ttft_p99", "chat.timed_out"]
    wrong = 0
    for _ in range(400):
        draws = [
            {
                seed: {
                    names[0]: 1.0 - rng.poisson(0.7) / 1000, names[1]: rng.lognormal(),
                    names[2]: float(rng.poisson(0.3)),
                }
                for seed in range(8)
            }
            for _ in range(2)
        ]  # fmt: skip
        found = compare(side("a", draws[0]), side("b", draws[1]), names)
        wrong += any(each.verdict in ("better", "worse") for each in found.differences)
    assert wrong / 400 < 0.07


def test_what_is_the_same_under_every_seed() -> None:
    same = line(NOISE, NOISE)
    assert (same.difference, same.verdict, same.p) == (0.0, "same", None)
    shifted = line(NOISE, {seed: value + 2.0 for seed, value in NOISE.items()})
    assert (shifted.difference, shifted.low, shifted.verdict) == (2.0, None, "worse")
    assert shifted.reason == "the same difference under every seed"
    counts = dict.fromkeys(NOISE, 3.0)
    one_more = line(counts, dict.fromkeys(NOISE, 4.0), "chat.timed_out")
    assert (one_more.p, one_more.verdict) == (0.125, "no difference shown")


def test_bins_hide_what_is_smaller_than_they_are() -> None:
    def binned(values: Mapping[int, float]) -> Side:
        made = side("x", {seed: {"chat.itl_p99": value} for seed, value in values.items()})
        seeds = {
            seed: {"chat.itl_p99": metric("chat.itl_p99", values[seed], relative_error=0.01)}
            for seed in values
        }
        return Side("x", made.manifest, seeds, [])

    a = binned(dict.fromkeys(range(8), 1.0))
    small = compare(a, binned(dict.fromkeys(range(8), 1.015)), ["chat.itl_p99"]).differences[0]
    assert (small.verdict, small.low < 0.0 < small.high) == ("no difference shown", True)
    large = compare(a, binned(dict.fromkeys(range(8), 1.1)), ["chat.itl_p99"]).differences[0]
    assert (large.verdict, large.low > 0.0) == ("worse", True)


def test_one_seed_each_is_answered_with_what_can_be_said() -> None:
    a, b = side("a", {1: {"chat.ttft_p99": 1.0}}), side("b", {1: {"chat.ttft_p99": 2.0}})
    found = compare(a, b)
    (only,) = found.differences
    assert (found.pairing, found.seeds, found.looked_at) == ("one seed", (1,), 0)
    assert (only.difference, only.low, only.p, only.verdict) == (1.0, None, None, "not judged")
    assert "one seed each" in found.notes[0]
    assert "--seeds 8" in found.notes[0]
    other = compare(a, side("b", {2: {"chat.ttft_p99": 2.0}}))
    assert "A has seed 1, B has seed 2" in other.notes[0]


def test_seeds_that_only_one_side_has_are_left_out_and_said() -> None:
    a = side("a", {seed: {"chat.ttft_p99": float(seed)} for seed in (1, 2, 3, 4)})
    b = side("b", {seed: {"chat.ttft_p99": 2.0 * seed} for seed in (3, 4, 5)}, failed=[{"seed": 6}])
    found = compare(a, b)
    assert (found.pairing, found.seeds) == ("paired", (3, 4))
    assert (found.differences[0].a, found.differences[0].b) == (3.5, 7.0)
    assert "A has seeds 1 to 4, B has seeds 3 to 5" in found.notes[0]
    assert found.notes[1] == "B lacks seed 6, which failed"


def test_a_metric_that_is_null_under_some_seeds() -> None:
    found = line({1: 1.0, 2: None, 3: 3.0, 4: 5.0}, {1: 2.0, 2: 3.0, 3: 4.5, 4: None})
    assert (found.a, found.b, found.difference) == (2.0, 3.25, 1.25)
    assert found.low is not None
    assert found.reason == (
        "A did not measure it under seed 2: nothing to measure; "
        "B did not measure it under seed 4: nothing to measure"
    )
    never = line({1: None, 2: None}, {1: 2.0, 2: 3.0})
    assert (never.a, never.b, never.difference, never.verdict) == (None, 2.5, None, "not judged")
    assert never.reason == "A did not measure it: nothing to measure"


def test_other_workloads_versions_and_inputs() -> None:
    values = {seed: {"chat.ttft_p99": float(seed)} for seed in (1, 2)}
    a = side("a", values)
    with pytest.raises(ResultError, match="nothing to compare: a serves chat and b serves code"):
        compare(a, side("b", values, workloads=[{"name": "code"}]))
    found = compare(
        a,
        side("b", values, workloads=[{"name": "chat"}, {"name": "code"}], engine="compiled",
             versions={"rackplan": "2"}, inputs={"chat: t.csv": "f" * 64}, resolved={"x": 2}),
    )  # fmt: skip
    text = "\n".join(found.notes)
    assert "different versions" in text
    assert "rackplan 1 and 2" in text
    assert "chat: t.csv (absent) and ffffffffffff…" in text
    assert "A is of the reference engine, B of the compiled engine" in text
    assert "only B has workload code" in text
    assert [(c.path, c.a, c.b) for c in found.changes] == [("x", 1, 2)]


def test_metrics_that_are_not_there() -> None:
    a = side("a", {1: {"chat.ttft_p99": 1.0}})
    with pytest.raises(UnknownName, match=r"did you mean 'chat\.ttft_p99'"):
        compare(a, a, ["chat.ttft_p9"])
    with pytest.raises(ResultError, match="neither a nor a has the metric"):
        compare(a, a, ["chat.tpot_p99"])
    assert [found.name for found in compare(a, a, everything=True).differences] == ["chat.ttft_p99"]


def test_a_partial_run_is_no_side() -> None:
    whole = side_of_run("x", run_by_hand())
    assert list(whole.by_seed) == [7]
    run = run_by_hand()
    stopped = RunResult(run.tables, {**run.manifest, "outcome": "partial", "reason": "stopped"})
    with pytest.raises(ResultError, match=r"x is not whole \(stopped\)"):
        side_of_run("x", stopped)
