"""Which calibration a run's speeds rest on, and their error class: in its manifest and summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from sim.perf.calibration import draw_errors, records
from sim.perf.expected import METRICS, error_sentence, expected_error, outside_range
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
            stack, llm=pool.llm.llm.name, gpu=gpu, tensor_parallel=pool.tensor_parallel
        )
        found[gpu] = {
            "class": expected.kind,
            **{name: list(expected.errors[name]) for name in METRICS},
            "draw": [draw_errors(gpu).median, draw_errors(gpu).p90],
            "outside": list(expected.outside),
        }
    return found


def pool_errors(pool: Any) -> dict[str, Any]:
    """What a manifest says of how far off a pool's speeds may be, and why."""
    return {
        "stack": stack_of(pool),
        "expected_error": expected_errors(pool),
        **silicon_of(pool),
    }


def calibration_of(scenario: Any) -> dict[str, Any]:
    """The files of constants, those of the user's own, and which draw of the errors was taken."""
    own = scenario.calibration.own
    return {
        "constants": records(),
        "own": None
        if own is None
        else {"file": own.path.name, "gpu": own.gpu, "sha256": own.sha256,
              "error": dict(own.error)},
        "sample": scenario.calibration.sample,
    }  # fmt: skip


def expected_sentences(
    manifest: Mapping[str, Any], lengths: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, bool]]:
    """Lines about how far off speeds may be, and whether each is a warning.

    Args:
        manifest: of a run, or of several seeds.
        lengths: of ``outside_lengths``.
    """
    for pool in manifest["pools"]:
        for gpu, entry in pool.get("silicon", {}).items():
            where = f"{pool['name']} on {gpu} ({entry['step_times']})"
            yield f"Expected error of {where}: {entry['expected']}", False
    said: dict[str, list[str]] = {}
    warned: dict[str, list[str]] = {}
    for pool in manifest["pools"]:
        for gpu, entry in (pool.get("expected_error") or {}).items():
            sentence = error_sentence(
                entry["class"], {name: tuple(entry[name]) for name in METRICS}
            )
            if "draw" in entry:  # not in results of an older version
                middle, high = entry["draw"]
                sentence += f"; draw ±{100 * middle:.0f} % (P90 {100 * high:.0f} %)"
            where = f"{pool['name']} on {gpu} ({pool['stack']} stack)"
            said.setdefault(sentence, []).append(where)
            outside = "; ".join([*entry["outside"], *lengths.get(pool["name"], ())])
            if outside:
                warned.setdefault(outside, []).append(pool["name"])
    for sentence, places in said.items():
        yield f"Expected error of {', '.join(places)}: {sentence}", False
    calibration = manifest.get("calibration") or {}  # None in results of an older version
    yield from _own_sentences(calibration.get("own"))
    for outside, names in warned.items():
        pool = ", ".join(dict.fromkeys(names))
        yield f"{pool}: outside the calibrated region: {outside}", True
    if calibration.get("sample"):
        yield from _drawn_sentences(manifest["pools"], calibration["sample"])


def _own_sentences(own: Mapping[str, Any] | None) -> Iterator[tuple[str, bool]]:
    if own:
        errors = ", ".join(f"{100 * e:.0f} % ({dtype})" for dtype, e in own["error"].items())
        text = (
            f"Matrix products on {own['gpu']}: constants of {own['file']}, {errors} off on shapes "
            "held out of their fit; the expected error is that of the shipped ones"
        )
        yield text, False


def _drawn_sentences(pools: Sequence[Mapping[str, Any]], sample: int) -> Iterator[tuple[str, bool]]:
    for pool in pools:
        for gpu, by in pool["drawn"].items():
            text = (
                f"calibration.sample {sample}: errors of the fits are drawn for {pool['name']} on "
                f"{gpu}: decoding takes {by['decode']:.2f} times as long, prefill "
                f"{by['prefill']:.2f} times, and draws {by['draw']:.2f} times as much above idle"
            )
            yield text, True


def outside_lengths(result: RunResult) -> dict[str, list[str]]:
    """Pool → mean lengths of its requests, where recorded, that no measured run is near to."""
    if "requests" not in result.tables:
        return {}
    requests = result.tables["requests"]
    found: dict[str, list[str]] = {}
    for pool in result.manifest["pools"]:
        if not pool.get("expected_error"):
            continue
        mine = requests.filter(pc.equal(requests["pool"].cast("string"), pool["name"]))
        for name in ("input_tokens", "output_tokens"):
            mean = pc.mean(mine[name]).as_py()
            if mean is not None:
                found.setdefault(pool["name"], []).extend(
                    outside_range(pool["stack"], name, mean, "mean ")
                )
    return found
