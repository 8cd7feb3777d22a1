"""``rackplan predict serving --silicon``: step times of an estimator, here a made-up one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.perf import silicon
from sim.perf.calibration import overheads
from sim.perf.step import Batch
from tests.unit.cli.test_predict import PLAN, invoke, options, table
from tests.unit.perf.test_estimator import LIMITS, known


@pytest.fixture
def fake_silicon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A known cost in place of aiconfigurator-core, which need not be installed."""
    named = silicon.Silicon("trtllm", None, "0.12.0")
    monkeypatch.setattr(silicon, "silicon_named", lambda backend, version: named)
    monkeypatch.setattr(silicon, "_Engine", lambda asked, release: known(LIMITS))
    silicon._reduced.cache_clear()
    yield
    silicon._reduced.cache_clear()


@pytest.mark.usefixtures("fake_silicon")
def test_step_times_of_an_estimator_are_named_beside_their_errors(tmp_path: Path) -> None:
    alone = PLAN | {"concurrency": "1"}
    file = table(tmp_path / "q.csv", alone | {"silicon": "trtllm"}, alone | {"silicon": ""})
    theirs, ours = json.loads(invoke("serving", "--file", file, "--json").stdout)
    assert theirs["stack"] == "known 1.0"
    assert theirs["error_class"].startswith("step times reduced within 0.0 %")
    assert theirs["outside_calibration"] == ""
    assert ours["stack"] == "pooled"
    assert list(theirs) == list(ours)
    assert theirs["tpot_p50_s"] != pytest.approx(ours["tpot_p50_s"], rel=0.01)
    decode_s = known(LIMITS).cost.iteration_s(Batch(1, 1, 1088, 0, 0, 0))
    assert theirs["tpot_p50_s"] == pytest.approx(
        decode_s + overheads().iteration_s + overheads().sequence_s, rel=1e-3
    )
    text = invoke("serving", *options(silicon="trtllm")).stdout
    assert "Expected error, known 1.0: TPOT" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"silicon": "trtlm"}, "--silicon: unknown backend 'trtlm' (did you mean 'trtllm'?)"),
        ({"silicon": "vllm", "stack": "pooled"}, "--stack: was fitted beside other kernels"),
        ({"silicon-version": "1.3"}, "--silicon-version: has no effect without silicon"),
    ],
)
def test_what_does_not_go_with_silicon(more: dict[str, str], message: str) -> None:
    assert message in str(invoke("serving", *options(**more)).exception)


@pytest.mark.usefixtures("fake_silicon")
def test_a_pipeline_has_no_step_times_of_an_estimator() -> None:
    asked = options(silicon="trtllm", tensor_parallel="2", pipeline_parallel="2")
    assert "write pipeline_parallel: 1" in str(invoke("serving", *asked).exception)
