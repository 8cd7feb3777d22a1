"""What the time to first token is made of where one pool prefills and another decodes."""

from __future__ import annotations

from collections.abc import Iterator

from sim.results.path_limits import paths_of
from sim.results.result import RunResult
from sim.results.ttft_parts import PARTS, decoding_pool

#: From here on times are told in seconds.
_SECONDS_FROM_S = 10.0
_WORDS = {"first_decode": "first decode"}


def ttft_sentences(result: RunResult) -> Iterator[str]:
    """``TTFT of chat: 92 ms = queue 3 + prefill 61 + … (means; prefilled by pre, decoded by dec)``.

    A line for each workload whose requests change pools; of the parts the ways of the user only
    where there are some. Nothing for results of an older version.
    """
    for workload in result.manifest["workloads"]:
        name = workload["name"]
        decode = decoding_pool(result, name)
        means = [result.metrics.get(f"{name}.ttft_{part}_mean") for part in PARTS]
        if decode is None or None in means:
            continue
        known = {
            part: mean.value
            for part, mean in zip(PARTS, means, strict=True)
            if mean is not None and mean.value is not None
        }
        if len(known) < len(PARTS):
            reason = next(mean.reason for mean in means if mean is not None)
            yield f"TTFT of {name}: its parts are not known ({reason})"
            continue
        total_s = sum(known.values())
        unit, factor = ("s", 1.0) if total_s >= _SECONDS_FROM_S else ("ms", 1000.0)
        words = {**_WORDS, "ingress": _ingress(result, name)}
        told = " + ".join(
            f"{words.get(part, part)} {_short(factor * value)}"
            for part, value in known.items()
            if part not in ("ingress", "egress") or value > 0.0
        )
        total = f"{_short(factor * total_s)} {unit}"
        yield f"TTFT of {name}: {total} = {told} (means; from {workload['pool']} to {decode})"


def _ingress(result: RunResult, workload: str) -> str:
    """What comes before the last attempt reaches its pool: the user's way, earlier attempts."""
    again = result.metrics[f"{workload}.retries"].value
    if not again:
        return "ingress"
    return (
        "ingress and earlier attempts"
        if workload in paths_of(result.manifest)
        else ("earlier attempts")
    )


def _short(value: float) -> str:
    """Three digits, or hundredths where that is less."""
    return f"{value:,.0f}" if value >= 100.0 else f"{round(value, 2):.3g}"
