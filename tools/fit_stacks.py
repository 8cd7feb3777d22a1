"""Fits serving stacks on measured runs and writes data/calibration/stacks.yaml.

    python tools/fit_stacks.py SERVING_TABLE.csv [--pooled] [--dry]

With --pooled the pooled overheads of serving.yaml are renewed as well, which moves every result
without a stack; --dry writes neither.

The table is the silicon sample of the PyPI package aiconfigurator-core 0.12.0 (NVIDIA,
Apache-2.0). The shipped parameters are fitted on the configurations that ``Run.held_out`` leaves
(GPU, LLM, precision, layout and lengths; all concurrencies together). Errors are those of runs
that a fit did not see, predicted by the engine: the other halves of several splits (seen stack),
a stack, an LLM, a GPU left out as a whole. Each fit is kept in build/stacks until the kernels, the
table or these files change, so that a run that was stopped goes on. Needs scipy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import yaml
from serving_fits import (
    BEGIN,
    POOLED_PARAMETERS,
    Case,
    Fitted,
    as_row,
    by_stack,
    cases,
    choose,
    fit_all,
    measured,
    simulate,
)  # fmt: skip
from stack_record import (
    HEADER,
    MEANING,
    POOLED_HEADER,
    POOLED_METHOD,
    POOLED_PROTOCOL,
    RECORD,
    as_yaml,
)  # fmt: skip
from stack_residuals import Held, record

from sim.errors import RackplanError
from sim.paths import data
from sim.perf.expected import LEAST_RUNS as OWN_RUNS
from sim.perf.expected import SEEN
from sim.perf.stacks import Parameters, Protocol, Stack, bounds
from sim.validate.runs import Run, groups, read_runs
from sim.validate.serving import METRICS, Evaluator, Outcome, Score, score

HALVES = 3
#: Runs of a stack to have parameters of its own; and to be left out as unseen.
LEAST_RUNS, UNSEEN_RUNS = 12, 20
#: How often the engine checks the compiled loop, and how close both are. KV differs a little where
#: more than 8,192 tokens fit an iteration, as the engine then keeps more room for activations.
CHECK_EVERY, AGREE = 20, 0.02
ROOT = Path(__file__).parent.parent
#: Modules of sim/perf that read the record and make no speed.
RECORDS = ("expected", "residuals")
CLASSES = (SEEN, "unseen stack", "unseen LLM", "unseen GPU")


@dataclass(frozen=True)
class Fold:
    """A fit and the runs that judge it."""

    kind: str
    name: str
    trained: list[Case]
    held: list[Case]


def folds(some: list[Case]) -> Iterator[Fold]:
    """The shipped fit first, then the other halves, then whole stacks, LLMs and GPUs left out."""
    for i in range(HALVES):
        out = _half(some, i)
        yield Fold(
            SEEN, f"half-{i}", [c for c in some if c.run.configuration not in out],
            [c for c in some if c.run.configuration in out],
        )  # fmt: skip
    keys: dict[str, Callable[[Run], str]] = {
        "unseen stack": lambda run: run.stack,
        "unseen LLM": lambda run: run.llm,
        "unseen GPU": lambda run: run.gpu,
    }
    for kind, key in keys.items():
        for value in sorted({key(case.run) for case in some}):
            held = [case for case in some if key(case.run) == value]
            if len(held) >= UNSEEN_RUNS:
                trained = [case for case in some if key(case.run) != value]
                yield Fold(kind, value, trained, held)


def _half(some: list[Case], number: int) -> set[str]:
    """Configurations held out: those of ``Run.held_out``, then random halves."""
    if number == 0:
        return {case.run.configuration for case in some if case.run.held_out}
    names = sorted({case.run.configuration for case in some})
    return set(np.random.default_rng(number).permutation(names)[::2])


def fitted(fold: Fold, known: dict[str, Protocol], whole: dict[str, int], cache: Path) -> Fitted:
    """The fold's fit, from the cache if it is there."""
    path = cache / f"{fold.kind}-{fold.name}.json".replace("/", "_").replace(" ", "-")
    if path.exists():
        tree = json.loads(path.read_text())
        return Fitted(
            Parameters(**tree["pooled"]),
            {
                name: Stack(name, row["backend"], row["version"], row["precision"], row["origin"],
                            Parameters(**row["parameters"]), Protocol(**row["protocol"]))
                for name, row in tree["stacks"].items()
            },
            {name: Protocol(**row) for name, row in tree["protocols"].items()},
        )  # fmt: skip
    # A stack all of whose runs are here has chosen its protocol on just these.
    mine = {n: known[n] for n, part in by_stack(fold.trained).items() if len(part) == whole[n]}
    seen = fold.kind == SEEN
    found = fit_all(fold.trained, bounds(), LEAST_RUNS if seen else 0, {} if seen else mine)
    tree = {
        "pooled": asdict(found.pooled),
        "stacks": {name: as_row(stack) for name, stack in found.stacks.items()},
        "protocols": {name: asdict(one) for name, one in found.protocols.items()},
    }
    path.write_text(json.dumps(tree, indent=1))
    return found


def judged(fold: Fold, fit: Fitted) -> list[Outcome]:
    """Predictions of the held runs; of seen stacks only those with parameters of their own.

    These are the engine's. Of what was left out whole, one run in twenty is, and must agree with
    the compiled loop, which does the others.

    Raises:
        RackplanError: the two differ.
    """
    engine = Evaluator()
    if fold.kind == SEEN:
        mine = [case.run for case in fold.held if case.run.stack in fit.stacks]
        return engine.outcomes(mine, fit.of)
    found = []
    for i, case in enumerate(fold.held):
        stack = fit.of(case.run)
        quick = _quick(case, stack)
        if i % CHECK_EVERY == 0:
            pair = engine.outcome(case.run, stack).predicted, quick.predicted
            if not np.allclose(*np.array(pair, dtype=float), rtol=AGREE):
                raise RackplanError(f"{case.run.place}: the engine and the fit have {pair}")
        found.append(quick)
    return found


def as_made(fold: Fold, fit: Fitted, known: dict[str, Protocol]) -> list[Outcome]:
    """The held runs of a stack, LLM or GPU left out, under the protocol that their stack chose.

    A scenario states its own lengths and arrivals: what is uncertain of it are the speeds, not how
    runs were made.
    """
    found = []
    for case in fold.held:
        stack = replace(fit.of(case.run), protocol=known[case.run.stack])
        found.append(_quick(case, stack))
    return found


def _quick(case: Case, stack: Stack) -> Outcome:
    """By the compiled loop."""
    tpot_s, rate, ttft_s = simulate(case, stack.parameters, stack.protocol).tolist()
    return Outcome(case.run, stack, (tpot_s, rate, ttft_s), tuple(measured(case.run).tolist()))


def main(table: Path, dry: bool, pooled: bool) -> None:
    start_s = monotonic()
    runs = read_runs(table)
    some = cases(runs)
    for reason, part in groups(runs):
        say(f"not simulated: {len(part)} runs, {reason}")
    cache = ROOT / "build" / "stacks" / _digest(table)
    cache.mkdir(parents=True, exist_ok=True)
    known = _protocols(some, cache)
    whole = {name: len(part) for name, part in by_stack(some).items()}
    held = {kind: Held({}) for kind in CLASSES}
    made = {kind: Held({}) for kind in CLASSES}
    shipped: Fitted | None = None
    for fold in folds(some):
        fit = fitted(fold, known, whole, cache)
        new = judged(fold, fit)
        held[fold.kind].parts[fold.name] = new
        made[fold.kind].parts[fold.name] = new if fold.kind == SEEN else as_made(fold, fit, known)
        say(f"[{monotonic() - start_s:.0f} s] {fold.kind}, {fold.name}: {describe(score(new))}")
        if shipped is None:
            shipped = fit
    for kind in CLASSES:
        say(f"{kind}: {describe(score(held[kind].outcomes))}")
    assert shipped is not None
    if not dry:
        if pooled:
            write_pooled(shipped.pooled, held)
        errors = {
            kind: row(score(held[kind].outcomes))
            | {"residuals": record(made[kind], whole_fits=kind != SEEN)}
            for kind in CLASSES
        }
        write(shipped, some, errors, held[SEEN], list(groups(runs)))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def describe(s: Score) -> str:
    """One line of a score."""
    parts = [
        f"{name} {100 * s.median[name]:.1f} % (P90 {100 * s.p90[name]:.0f})"
        for name in METRICS
        if name in s.median
    ]
    tau = "" if s.tau is None else f", tau {s.tau:.3f}"
    return f"{s.runs} runs, {', '.join(parts)}{tau}"


def _protocols(some: list[Case], cache: Path) -> dict[str, Protocol]:
    """The protocol that each stack chooses on all of its runs."""
    path = cache / "protocols.json"
    if not path.exists():
        found = {n: asdict(choose(part, BEGIN, bounds())) for n, part in by_stack(some).items()}
        path.write_text(json.dumps(found))
    return {name: Protocol(**row) for name, row in json.loads(path.read_text()).items()}


def _digest(table: Path) -> str:
    """Changes with the table, the models of speed, and how they are fitted."""
    files = [
        table,
        *(data("calibration", f"{name}.yaml") for name in ("kernels", "layers", "collectives")),
        *(p for p in sorted((ROOT / "sim/perf").rglob("*.py")) if p.stem not in RECORDS),
        ROOT / "sim/engine/closed_loop.py", ROOT / "sim/validate/runs.py",
        ROOT / "tools/serving_fits.py", ROOT / "tools/fast_loop.py",
    ]  # fmt: skip
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def write(
    shipped: Fitted,
    some: list[Case],
    errors: dict[str, dict[str, Any]],
    seen: Held,
    missing: list[tuple[str, list[Run]]],
) -> None:
    """The stacks; the pooled one has the overheads that serving.yaml has now."""
    target = data("calibration", "stacks.yaml")
    tree = yaml.safe_load(target.read_text(encoding="utf-8"))
    trained = [case.run for case in some if not case.run.held_out]
    values = yaml.safe_load(data("calibration", "serving.yaml").read_text(encoding="utf-8"))
    stands = {n: float(v) for n, v in values["overheads"].items() if n in POOLED_PARAMETERS}
    pooled = Stack(
        "pooled", "any", "", "any", "any", replace(shipped.pooled, **stands), POOLED_PROTOCOL
    )
    rows = {"pooled": as_row(pooled) | {"measured": region(trained)}}
    for name in sorted(shipped.stacks):
        mine = [run for run in trained if run.stack == name]
        own = seen.of_stack(name)
        rows[name] = as_row(shipped.stacks[name]) | {
            "measured": region(mine), "errors": own_row(own, errors[SEEN]),
        }  # fmt: skip
    tree = {
        "record": {
            **RECORD,
            "halves": HALVES,
            "not_simulated": [f"{len(part)} runs: {reason}" for reason, part in missing],
        },
        "bounds": tree["bounds"],
        "meaning": MEANING,
        "errors": errors,
        "stacks": rows,
    }
    target.write_text(HEADER + as_yaml(tree), encoding="utf-8")


def region(runs: list[Run]) -> dict[str, object]:
    """What runs were of."""
    return {
        "runs": len(runs),
        "configurations": len({run.configuration for run in runs}),
        "llms": sorted({run.llm for run in runs}),
        "gpus": sorted({run.gpu for run in runs}),
        "tensor_parallel": sorted({run.layout.tensor_parallel for run in runs}),
        "input_tokens": _ends([run.input_tokens for run in runs]),
        "output_tokens": _ends([run.output_tokens for run in runs]),
        "concurrency": _ends([run.clients or 0 for run in runs]),
    }


def _ends(values: list[int]) -> list[int]:
    return [min(values), max(values)]


def own_row(held: Held, of_class: dict[str, Any]) -> dict[str, Any]:
    """The errors of one seen stack; how they hang together only where there are enough."""
    found = row(score(held.outcomes))
    if len(held.outcomes) < OWN_RUNS:
        return found
    return found | {"residuals": record(held, False, instead=of_class["residuals"])}


def row(s: Score) -> dict[str, Any]:
    """A score as the data file has it: by metric the median and the P90."""
    errors = {name: [_short(s.median[name]), _short(s.p90[name])] for name in METRICS}
    return {"runs": s.runs, **errors, "tau": None if s.tau is None else _short(s.tau)}


def _short(value: float) -> float:
    return round(value, 4)


def write_pooled(pooled: Parameters, held: dict[str, Held]) -> None:
    """The pooled overheads, where every model without a stack takes them from."""
    target = data("calibration", "serving.yaml")
    tree = yaml.safe_load(target.read_text(encoding="utf-8"))
    for name in POOLED_PARAMETERS:
        if name in tree["overheads"]:
            tree["overheads"][name] = getattr(pooled, name)
    tree["record"] = {
        **{name: RECORD[name] for name in ("source_id", "date", "source", "licence")},
        "method": POOLED_METHOD,
        "errors": [f"{kind}: {describe(score(held[kind].outcomes))}" for kind in CLASSES[1:]],
    }
    order = ("record", "assumed", "overheads", "memory")
    text = as_yaml({name: tree[name] for name in order})
    target.write_text(POOLED_HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--dry" in sys.argv, "--pooled" in sys.argv)
