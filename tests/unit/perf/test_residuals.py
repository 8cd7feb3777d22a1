"""How errors hang together: the record's reader, and the estimate of its components."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sim.errors import DataError
from sim.perf.calibration import read_tree
from sim.perf.expected import LEAST_RUNS, expected_error, residuals
from sim.perf.residuals import Residuals, Spread, parse_residuals, widest
from sim.perf.stacks import FILE, POOLED

TREE = read_tree(*FILE)
ENTRY: dict[str, Any] = {
    "runs": 40, "decode": {"stack": 0.1, "configuration": 0.02, "run": 0.03},
    "prefill": {"stack": 0.2, "configuration": 0.0, "run": 0.1}, "correlation": 0.4,
}  # fmt: skip


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """tools/stack_residuals.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[3] / "tools"))
        import stack_residuals
    module: ModuleType = stack_residuals
    return module


def test_an_entry_is_read() -> None:
    found = parse_residuals(ENTRY, "file")
    assert found == Residuals(Spread(0.1, 0.02, 0.03), Spread(0.2, 0.0, 0.1), 0.4, 40)
    assert found.decode.total == pytest.approx(np.sqrt(0.01 + 0.0004 + 0.0009))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correlation": 1.2}, "correlation 1.2 is not in -1..1"),
        ({"decode": {"stack": 0.1, "configuration": -0.2, "run": 0.1}}, "is 0 or more, not -0.2"),
        ({"prefill": {"stack": 0.1, "run": 0.1}}, "configuration"),
        ({"decode": {"stack": 0.1, "configuration": "x", "run": 0.1}}, "not supported"),
    ],
)
def test_a_bad_entry_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^place: residuals: .*{message}"):
        parse_residuals(ENTRY | change, "place")


def test_a_missing_part_is_named() -> None:
    with pytest.raises(DataError, match=r"^place: residuals: no 'correlation'"):
        parse_residuals({k: v for k, v in ENTRY.items() if k != "correlation"}, "place")


def test_of_several_classes_each_number_is_the_largest() -> None:
    one = parse_residuals(ENTRY, "")
    other = Residuals(Spread(0.05, 0.04, 0.01), Spread(0.1, 0.3, 0.2), 0.2, 12)
    assert widest([one, other]) == Residuals(
        Spread(0.1, 0.04, 0.03), Spread(0.2, 0.3, 0.2), 0.4, 12
    )


def test_every_class_and_every_stack_with_errors_has_a_record() -> None:
    tables = [*TREE["errors"].values()]
    tables += [row["errors"] for row in TREE["stacks"].values() if "errors" in row]
    assert len(tables) > 8
    for table in tables:
        if table["runs"] < LEAST_RUNS:
            continue
        found = parse_residuals(table["residuals"], "")
        assert found.runs == table["runs"]
        assert 0.01 < found.decode.total < 0.5
        assert 0.02 < found.prefill.total < 1.0
        for shares in table["residuals"]["coverage"].values():
            assert 0.3 < shares[0.5] <= shares[0.8] <= shares[0.9] <= 1.0


def test_a_seen_stack_has_its_own_and_an_unseen_one_those_of_its_class() -> None:
    asked: dict[str, Any] = {"llm": "qwen3-32b", "gpu": "h100-sxm", "tensor_parallel": 2}
    own = expected_error("vllm-0.12-bf16", **asked).residuals
    assert own == parse_residuals(TREE["stacks"]["vllm-0.12-bf16"]["errors"]["residuals"], "")
    assert own.decode.stack == own.prefill.stack == 0
    unseen = expected_error(POOLED, **asked).residuals
    assert unseen == parse_residuals(TREE["errors"]["unseen stack"]["residuals"], "")
    assert unseen.decode.stack > 0
    assert unseen.decode.total > own.decode.total
    both = residuals(POOLED, ["unseen stack", "unseen GPU"])
    assert both.decode.configuration == max(
        TREE["errors"][kind]["residuals"]["decode"]["configuration"]
        for kind in ("unseen stack", "unseen GPU")
    )


def _sample(tool: ModuleType, seed: int, stack: float, configuration: float, run: float) -> Any:
    """Residuals of 40 stacks of 6 configurations of 5 runs, drawn from these components."""
    rng = np.random.default_rng(seed)
    stacks, configurations = np.repeat(np.arange(40), 30), np.repeat(np.arange(240), 5)
    values = (
        stack * rng.standard_normal(40)[stacks]
        + configuration * rng.standard_normal(240)[configurations]
        + run * rng.standard_normal(1200)
    )
    return tool.Sample(values, stacks.astype(str), stacks.astype(str), configurations.astype(str))


@pytest.mark.parametrize("drawn", [(0.2, 0.1, 0.05), (0.0, 0.1, 0.1), (0.1, 0.0, 0.1)])
def test_components_that_were_drawn_are_found(
    tool: ModuleType, drawn: tuple[float, float, float]
) -> None:
    found = [list(tool.components(_sample(tool, seed, *drawn)).values()) for seed in range(20)]
    assert np.mean(found, axis=0) == pytest.approx(drawn, abs=0.025)


def test_the_total_has_the_measured_quantile_bias_included(tool: ModuleType) -> None:
    sample = _sample(tool, 1, 0.1, 0.1, 0.1)
    moved = tool.Sample(sample.values + 0.2, sample.fits, sample.stacks, sample.configurations)
    for one in (sample, moved):
        wanted = np.quantile(abs(one.values), 0.9) / 1.6449
        assert tool.total(tool.components(one)) == pytest.approx(wanted, rel=1e-3)


def test_one_wild_configuration_does_not_move_the_shares(tool: ModuleType) -> None:
    sample = _sample(tool, 2, 0.0, 0.1, 0.05)
    before = tool.components(sample)
    wild = sample.values.copy()
    wild[:5] += 8.0
    after = tool.components(tool.Sample(wild, sample.fits, sample.stacks, sample.configurations))
    for name, value in before.items():
        assert after[name] == pytest.approx(value, abs=0.01)


def test_one_stack_of_one_run_a_configuration_has_all_of_it_there(tool: ModuleType) -> None:
    values = np.random.default_rng(3).normal(0, 0.1, 30)
    names = np.arange(30).astype(str)
    same = np.full(30, "a")
    found = tool.components(tool.Sample(values, same, same, names))
    assert found["stack"] == found["run"] == 0
    assert found["configuration"] > 0


@pytest.mark.parametrize("whole_fits", [True, False])
def test_normal_residuals_are_covered_as_stated(tool: ModuleType, whole_fits: bool) -> None:
    found = tool.coverage(_sample(tool, 4, 0.1, 0.1, 0.1), whole_fits)
    assert found == pytest.approx({0.5: 0.5, 0.8: 0.8, 0.9: 0.9}, abs=0.05)


def test_correlation_does_not_see_tails(tool: ModuleType) -> None:
    pairs = np.random.default_rng(5).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 2000)
    assert tool.correlation(pairs) == pytest.approx(0.6, abs=0.05)
    assert tool.correlation(pairs**3) == pytest.approx(tool.correlation(pairs))
