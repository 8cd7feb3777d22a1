"""The error class of a run's speeds: in its manifest, and as lines of the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from sim.perf.expected import METRICS, Expected, expected_error, outside_range
from sim.perf.silicon import silicon_expected
from sim.perf.stacks import POOLED

if TYPE_CHECKING:
    from sim.results.result import RunResult


def stack_of(pool: Any) -> str | None:
    """Full name of the stack that a pool runs; None with step times of other origin."""
    return None if pool.measured or pool.silicon else pool.stack or POOLED


def silicon_of(pool: Any) -> dict[str, Any]:
    """Where step times are from and what their reduction loses, where they are an estimator's."""
    reductions = {gpu: model.reduction for gpu, model in pool.models.items() if model.reduction}
    if not reductions:
        return {}
    return {
        "silicon": {
            gpu: {
                "step_times": one.estimator,
                "reduction_error": {"median": one.median, "p90": one.p90, "batches": one.batches},
                "expected": silicon_expected(one).sentence(),
            }
            for gpu, one in reductions.items()
        }
    }


def expected_errors(pool: Any) -> dict[str, Any]:
    """GPU type → error class of predictions on it; none with step times of other origin."""
    stack = stack_of(pool)
    if stack is None:
        return {}
    found = {}
    for gpu in pool.models:
        expected = expected_error(
            stack, llm=pool.llm.name, gpu=gpu, tensor_parallel=pool.tensor_parallel
        )
        found[gpu] = {
            "class": expected.kind,
            **{name: list(expected.errors[name]) for name in METRICS},
            "outside": list(expected.outside),
        }
    return found


def expected_sentences(result: RunResult) -> Iterator[tuple[str, bool]]:
    """Lines about how far off speeds may be, and whether each is a warning."""
    for pool in result.manifest["pools"]:
        for gpu, entry in pool.get("silicon", {}).items():
            where = f"{pool['name']} on {gpu} ({entry['step_times']})"
            yield f"Expected error of {where}: {entry['expected']}", False
    pools = [pool for pool in result.manifest["pools"] if pool.get("expected_error")]
    said: dict[str, list[str]] = {}
    warned: dict[str, list[str]] = {}
    for pool in pools:
        lengths = tuple(_outside_lengths(result, pool))
        for gpu, entry in pool["expected_error"].items():
            errors = {name: tuple(entry[name]) for name in METRICS}
            where = f"{pool['name']} on {gpu} ({pool['stack']} stack)"
            said.setdefault(Expected(entry["class"], errors).sentence(), []).append(where)
            outside = "; ".join([*entry["outside"], *lengths])
            if outside:
                warned.setdefault(outside, []).append(pool["name"])
    for sentence, places in said.items():
        yield f"Expected error of {', '.join(places)}: {sentence}", False
    for outside, names in warned.items():
        pool = ", ".join(dict.fromkeys(names))
        yield f"{pool}: outside the calibrated region: {outside}", True


def _outside_lengths(result: RunResult, pool: Mapping[str, Any]) -> Iterator[str]:
    """Mean lengths of the pool's requests, where recorded, that no measured run is near to."""
    if "requests" not in result.tables:
        return
    requests = result.tables["requests"]
    mine = requests.filter(pc.equal(requests["pool"].cast("string"), pool["name"]))
    for name in ("input_tokens", "output_tokens"):
        mean = pc.mean(mine[name]).as_py()
        if mean is not None:
            yield from outside_range(pool["stack"], name, mean, "mean ")
