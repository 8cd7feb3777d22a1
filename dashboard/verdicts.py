"""What a run's verdict says in the few words of a page: states, titles, rows of the tables."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.load import RunView
from dashboard.style import MARKS
from sim.results.metrics import Metric
from sim.results.verdict import ObjectiveResult
from sim.results.wording import percent, shown
from sim.units import format_si

#: From here on a draw is "near" its limit.
_NEAR = 0.9


@dataclass(frozen=True)
class Block:
    """One block of the verdict bar; ``state`` is a key of ``dashboard.style.STATES``."""

    state: str
    words: str
    detail: str

    @property
    def title(self) -> str:
        """The words with the mark of the state, so that no colour has to be seen."""
        return f"{MARKS[self.state]} {self.words}"


def objectives(run: RunView) -> Block:
    """Whether the workloads meet their objectives; a run that states none is a case of its own."""
    verdict = run.verdict
    if verdict.status == "partial":
        return Block("near", "Not whole", verdict.headline.removeprefix("Not whole: "))
    judged = [workload for workload in verdict.workloads if workload.met is not None]
    missed = sum(not workload.met for workload in judged)
    if not judged:
        stated = any(workload.objectives for workload in verdict.workloads)
        words = "Nothing to judge" if stated else "No objectives stated"
        return Block("none", words, verdict.headline.removeprefix("Nothing to judge: "))
    if missed:
        words = "Objectives missed"
        if len(judged) > 1:
            words += f" by {missed} of {len(judged)} workloads"
        return Block("bad", words, verdict.headline)
    return Block("good", "Objectives met", verdict.headline)


def power(run: RunView) -> Block:
    """Whether the site stayed within its power."""
    detail = run.verdict.power_sentence.removeprefix("Power: ")
    peak, headroom = run.metrics["peak_draw_w"].value, run.metrics["headroom_w"].value
    over = [limit for limit in run.verdict.limits if limit.kind == "power" and limit.binds]
    if run.metrics["over_budget_s"].value:
        return Block("bad", "Over its power budget", detail)
    if over:
        return Block("bad", f"Over {over[0].label}", over[0].sentence.removeprefix("power: "))
    if peak is None:
        return Block("none", "Power not measured", detail)
    if not run.power_stated:
        return Block("none", "Power is unlimited", detail)
    if headroom is None:
        return Block("none", "No power budget stated", detail)
    if run.outcome == "partial":
        return Block("near", "Within its power budget so far", detail)
    if peak >= _NEAR * (peak + headroom):
        return Block("near", "Near its power budget", detail)
    return Block("good", "Within its power budget", detail)


def expectations(run: RunView) -> Block:
    """How many ``expect:`` lines held."""
    lines = run.expectations
    if not lines:
        return Block("none", "No expectations stated", "the scenario has no line under 'expect:'")
    failed = [line for line in lines if not line.passed]
    if run.outcome == "partial":
        return Block("near", f"{len(lines)} expectations not judged", "the run is not whole")
    if not failed:
        return Block("good", f"{len(lines)} of {len(lines)} expectations hold", "")
    first = failed[0]
    detail = first.text
    if first.metric is not None and first.metric.value is not None:
        detail += f", measured {shown(first.metric)}"
    if first.reason:
        detail += f" ({first.reason})"
    return Block("bad", f"{len(failed)} of {len(lines)} expectations failed", detail)


def worst_ttft(run: RunView) -> tuple[str, Metric, float | None]:
    """The workload whose TTFT p99 is worst against its objective: name, p99, objective.

    Workloads with an objective come first, then the longest p99, then the order of the scenario.
    """
    found = []
    for place, workload in enumerate(run.verdict.workloads):
        metric = run.metrics[f"{workload.name}.ttft_p99"]
        objective = next((o.objective_s for o in workload.objectives if o.family == "ttft"), None)
        value = metric.value or 0.0
        rank = (objective is None, -(value / objective if objective else value), place)
        found.append((rank, (workload.name, metric, objective)))
    return min(found)[1]


def objective_rows(run: RunView) -> list[dict[str, str]]:
    """Rows for a table: one per workload and objective, or one for a workload without any."""
    rows = []
    for workload in run.verdict.workloads:
        metrics = run.metrics
        met = "" if workload.met is None else mark(run, workload.met)
        base = {
            "workload": workload.name,
            "arrivals": shown(metrics[f"{workload.name}.arrivals"]),
            "rate": shown(metrics[f"{workload.name}.arrival_rate"]),
            "goodput": shown(metrics[f"{workload.name}.goodput_fraction"]) + met,
        }
        stated = [(objective.family, objective) for objective in workload.objectives]
        rows += [
            base | _row(run, workload.name, family, objective)
            for family, objective in stated or (("ttft", None), ("tpot", None))
        ]
    return rows


def _row(
    run: RunView, workload: str, family: str, objective: ObjectiveResult | None
) -> dict[str, str]:
    row = {
        "latency": family.upper(),
        "p50": shown(run.metrics[f"{workload}.{family}_p50"]),
        "p99": shown(run.metrics[f"{workload}.{family}_p99"]),
        "objective": "none stated",
        "p99 of objective": "",
    }
    if objective is not None:
        row["objective"] = format_si(objective.objective_s, "s")
        row["p99 of objective"] = "–"
        if objective.over is not None:
            of = percent(1.0 + objective.over)
            row["p99 of objective"] = of + mark(run, objective.over <= 0.0)
    return row


def mark(run: RunView, good: bool) -> str:
    """Check mark or cross; nothing for a run that is not whole, which is not judged."""
    return "" if run.outcome == "partial" else f" {MARKS['good' if good else 'bad']}"
