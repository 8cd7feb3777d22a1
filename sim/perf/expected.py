"""How far off a prediction is expected to be: its error class, from the record of the fits.

``data/calibration/stacks.yaml`` says for each stack what its measured runs were of, and how far
off predictions of held-out runs were: for configurations of a stack that was fitted (seen stack),
and for stacks, LLMs and GPUs that the fit had never seen. ``Residuals`` are the same errors with
what they have in common: to draw how a whole site may differ from its prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.perf.calibration import read_tree
from sim.perf.residuals import Residuals, parse_residuals, widest
from sim.perf.stacks import FILE, POOLED

METRICS = ("tpot", "throughput", "ttft")
SEEN = "seen stack"
#: Held-out runs from which on a stack's own errors are said rather than those of its class.
LEAST_RUNS = 10


@dataclass(frozen=True)
class Expected:
    """The error class of an answer.

    Attributes:
        kind: "seen stack", "unseen stack", "unseen LLM" or "unseen GPU"; several are joined.
        errors: metric → (median, P90) of absolute relative errors of held-out runs.
        residuals: how these errors hang together.
        outside: what of the question no measured run is near to.
    """

    kind: str
    errors: Mapping[str, tuple[float, float]]
    residuals: Residuals
    outside: tuple[str, ...] = ()

    def sentence(self) -> str:
        """``TPOT ±4 % (P90 20 %), …: seen stack``."""
        return error_sentence(self.kind, self.errors)


_WORDS = {"tpot": "TPOT", "throughput": "throughput", "ttft": "TTFT"}


def error_sentence(kind: str, errors: Mapping[str, tuple[float, float]]) -> str:
    """A class and its errors, as ``Expected`` has them, in words."""
    parts = [
        f"{_WORDS[name]} ±{100 * middle:.0f} % (P90 {100 * high:.0f} %)"
        for name, (middle, high) in errors.items()
    ]
    return f"{', '.join(parts)}: {kind}"


def expected_error(
    stack: str,
    *,
    llm: str,
    gpu: str,
    tensor_parallel: int,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
    concurrency: float | None = None,
) -> Expected:
    """The error class of a prediction, and what of it leaves the measured region.

    ``stack`` is a full name; a length or concurrency of None is not looked at.
    """
    tree = read_tree(*FILE)
    every, mine = tree["stacks"][POOLED]["measured"], tree["stacks"][stack]["measured"]
    kinds = [] if stack != POOLED else ["unseen stack"]
    if llm not in mine["llms"]:
        kinds.append("unseen LLM")
    if gpu not in mine["gpus"]:
        kinds.append("unseen GPU")
    outside = []
    if llm not in every["llms"]:
        outside.append(f"{llm} (measured: {', '.join(every['llms'])})")
    if gpu not in every["gpus"]:
        outside.append(f"{gpu} (measured: {', '.join(every['gpus'])})")
    if tensor_parallel not in mine["tensor_parallel"]:
        known = ", ".join(str(n) for n in mine["tensor_parallel"])
        outside.append(f"tensor_parallel {tensor_parallel} (measured: {known})")
    asked = {"input_tokens": input_tokens, "output_tokens": output_tokens,
             "concurrency": concurrency}  # fmt: skip
    for name, value in asked.items():
        if value is not None:
            outside += outside_range(stack, name, value)
    return Expected(
        " and ".join(kinds) or SEEN, _errors(stack, kinds), residuals(stack, kinds), tuple(outside)
    )


def residuals(stack: str, kinds: Sequence[str]) -> Residuals:
    """How errors of predictions hang together; of several classes the widest.

    ``stack`` is a full name; ``kinds``: those of its classes that are unseen, else none.

    Raises:
        DataError: the file is not what ``tools/fit_stacks.py`` writes.
    """
    place = "/".join(FILE)
    return widest(
        [
            parse_residuals(table["residuals"], f"{place}: {name}")
            for name, table in _tables(stack, kinds).items()
        ]
    )


def outside_range(stack: str, name: str, value: float, what: str = "") -> list[str]:
    """What to say of a number (``what`` is before its name) outside the stack's measured ones."""
    low, high = read_tree(*FILE)["stacks"][stack]["measured"][name]
    if low <= value <= high:
        return []
    return [f"{what}{name} {value:,.0f} (measured: {low:,} to {high:,})"]


def _errors(stack: str, kinds: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Of several classes, the largest error of each metric."""
    tables = _tables(stack, kinds).values()
    return {
        name: (max(t[name][0] for t in tables), max(t[name][1] for t in tables)) for name in METRICS
    }


def _tables(stack: str, kinds: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The records of errors that apply, by name."""
    tree = read_tree(*FILE)
    own = tree["stacks"][stack].get("errors")
    if not kinds and own and own["runs"] >= LEAST_RUNS:
        return {stack: own}
    return {kind: tree["errors"][kind] for kind in kinds or [SEEN]}
