"""What is measured: every metric's name, unit, direction and definition, and how names are read.

A name is ``chat.ttft_p99`` (of a workload), ``pools[chat].busy_fraction`` (of a pool),
``power[ups-a].peak_w`` (of a node of the electrical tree) or ``over_budget_s`` (of the site).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim.errors import UnknownName, nearest
from sim.results.ttft_parts import PARTS, STATISTICS
from sim.units import UNITS

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
SCOPES = ("workload", "pool", "power", "site")


@dataclass(frozen=True)
class MetricDefinition:
    """One metric.

    Attributes:
        name: without its scope, ``ttft_p99``.
        unit: of its value, a key of ``sim.units.UNITS[dimension]`` (shares: a number from 0 to 1).
        dimension: a key of ``sim.units.UNITS``.
        better: "higher", "lower" or "" (neither).
        definition: one sentence.
        otel: the OpenTelemetry instrument of the same thing, or None.
        scope: "workload", "pool", "power" or "site".
    """

    name: str
    unit: str
    dimension: str
    better: str
    definition: str
    otel: str | None
    scope: str

    @property
    def factor(self) -> float:
        """From ``unit`` to the SI unit of the dimension."""
        return UNITS[self.dimension].get(self.unit, 1.0)


@dataclass(frozen=True)
class Metric:
    """A value in the unit of its definition; None = not measurable, and ``reason`` says why.

    ``relative_error`` bounds the error of a quantile that was read from a histogram; 0 = exact.
    Over several seeds the value is the mean of those ``seeds`` in which it could be measured;
    ``low`` and ``high`` end its 95 % interval, or are None and ``reason`` says why.
    ``calibration_low`` and ``calibration_high`` end the range over other calibrations that the
    errors of the fits allow (``sim.study.calibrations``), where it was asked for.
    """

    value: float | None
    unit: str
    definition: MetricDefinition
    reason: str = ""
    relative_error: float = 0.0
    low: float | None = None
    high: float | None = None
    seeds: int | None = None  # None: of a single run
    calibration_low: float | None = None
    calibration_high: float | None = None

    @property
    def si(self) -> float | None:
        """The value in SI units, which is what thresholds are compared with."""
        return None if self.value is None else self.value * self.definition.factor


class UnknownMetric(UnknownName):
    """A metric that is not known, or not in this scope; the message says what would be right."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__("metric", name, ())
        self.args = (message,)


def _workload_definitions() -> list[MetricDefinition]:
    families = (
        ("ttft", "time to first token, from the user's sending until the user has it: the way to "
         "the pool and back (workload.path) and what is between, up to the end of the iteration "
         "that ends the prefill, over requests that got one", "gen_ai.server.time_to_first_token"),
        ("tpot", "time per output token after the first, (finish - first token) / (output - 1), "
         "over completed requests of two tokens or more", "gen_ai.server.time_per_output_token"),
        ("itl", "gap between successive output tokens, over every gap of the whole run", None),
        ("e2e", "time from the user's sending until the user has the last token, the way to the "
         "pool and back included, over completed requests", "gen_ai.server.request.duration"),
        ("queue", "time from reaching the pool to the first admission to a running batch, over "
         "admitted requests", None),
    )  # fmt: skip
    found = []
    for family, text, otel in families:
        for statistic in (*QUANTILES, "mean"):
            share = "mean" if statistic == "mean" else f"{statistic[1:]}th percentile"
            found.append(
                MetricDefinition(
                    f"{family}_{statistic}",
                    "s",
                    "time",
                    "lower",
                    f"{share} of the {text}",
                    otel,
                    "workload",
                )
            )
    for part, text in PARTS.items():
        for statistic in STATISTICS:
            share = "mean" if statistic == "mean" else f"{statistic[1:]}th percentile"
            definition = (
                f"{share} of the part of the time to first token {text}, over requests of the "
                "measurement window that another pool decoded (with record: sampled, over those "
                "recorded); the means of all parts add up"
            )
            found.append(
                MetricDefinition(
                    f"ttft_{part}_{statistic}", "s", "time", "lower", definition, None, "workload"
                )
            )
    return found


_ARRIVED = "requests that arrived in the measurement window"
_ROWS = (
    # name, unit, dimension, better, definition, scopes
    ("goodput_fraction", "", "fraction", "higher", "share of all requests that arrived in the "
     "measurement window and met every objective; refused, timed-out, cancelled, failed and "
     "unfinished ones are misses", "workload site"),
    ("goodput_per_s", "/s", "rate", "higher", "requests that arrived in the measurement window "
     "and met every objective, per second of the window", "workload site"),
    ("arrivals", "", "count", "", _ARRIVED, "workload site"),
    ("arrival_rate", "/s", "rate", "", f"{_ARRIVED}, per second of it", "workload site"),
    ("completed", "", "count", "higher", f"{_ARRIVED} and were answered in full", "workload site"),
    ("never_fits", "", "count", "lower", f"{_ARRIVED} and were refused: longer than the "
     "LLM's context or larger than the KV cache of any replica", "workload site"),
    ("queue_full", "", "count", "lower", f"{_ARRIVED} and were refused: queues at max_queue",
     "workload site"),
    ("shed", "", "count", "lower", f"{_ARRIVED} and were pushed out of the queue by later ones",
     "workload site"),
    ("timed_out", "", "count", "lower", f"{_ARRIVED} and waited longer than the timeout",
     "workload site"),
    ("cancelled", "", "count", "lower", f"{_ARRIVED} and whose client gave up", "workload site"),
    ("failed", "", "count", "lower", f"{_ARRIVED} and whose replica lost power, or that found "
     "no replica serving, at the last attempt", "workload site"),
    ("retries", "", "count", "lower", f"times that {_ARRIVED} were sent again", "workload site"),
    ("unfinished", "", "count", "lower", f"{_ARRIVED} and had not ended when the drain did",
     "workload site"),
    ("preemptions", "", "count", "lower", "times that requests of the measurement window lost "
     "their KV blocks and were recomputed", "workload"),
    ("prefix_hit_fraction", "", "fraction", "higher", "prompt tokens found in the prefix cache, "
     "over all prompt tokens of the requests that arrived in the measurement window and were "
     "admitted; 0 where no request carries prefix ids", "workload"),
    ("output_tokens_per_s", "tokens/s", "tokens_per_s", "higher", "output tokens delivered in the "
     "measurement window, per second of it", "workload site"),
    ("input_tokens_per_s", "tokens/s", "tokens_per_s", "higher", "prompt tokens of completed "
     "requests that arrived in the measurement window, per second of it", "workload site"),
    ("energy_j", "J", "energy", "lower", "GPU energy attributed to the workload over the "
     "measurement window", "workload"),
    ("energy_per_output_token", "J/token", "energy_per_token", "lower", "GPU energy attributed to "
     "the workload over output tokens delivered, both in the measurement window", "workload"),
    ("kv_utilisation", "", "fraction", "", "tokens in KV over the capacity of the KV blocks, mean "
     "over replicas and the measurement window", "pool"),
    ("busy_fraction", "", "fraction", "", "share of the measurement window that replicas spent in "
     "iterations, mean over replicas", "pool"),
    ("waiting_mean", "", "count", "lower", "requests waiting in the whole pool, mean over the "
     "measurement window", "pool"),
    ("running_mean", "", "count", "", "requests running in the whole pool, mean over the "
     "measurement window", "pool"),
    ("preemptions", "", "count", "lower", "sequences preempted for lack of KV blocks, whole run",
     "pool"),
    ("energy_j", "J", "energy", "lower", "energy of the pool's GPUs over the measurement window",
     "pool"),
    ("capped_fraction", "", "fraction", "lower", "share of the measurement window in which the "
     "clocks of replicas were locked below their highest by a power policy, mean over replicas",
     "pool"),
    ("mean_clock", "", "fraction", "higher", "mean of the locked clock as a share of the maximum "
     "over the measurement window, mean over replicas", "pool"),
    ("cap_bound_fraction", "", "fraction", "lower", "share of the measurement window in which a "
     "power cap kept the clocks of replicas below the locked one, mean over replicas", "pool"),
    ("blocked_held_fraction", "", "fraction", "lower", "share of the measurement window in which "
     "the head of a queue waited because a power policy let nobody in, mean over replicas",
     "pool"),
    ("blocked_blocks_fraction", "", "fraction", "lower", "share of the measurement window in which "
     "the head of a queue waited for KV blocks, mean over replicas", "pool"),
    ("blocked_sequences_fraction", "", "fraction", "lower", "share of the measurement window in "
     "which the head of a queue waited because max_sequences were running, mean over replicas",
     "pool"),
    ("blocked_tokens_fraction", "", "fraction", "lower", "share of the measurement window in which "
     "the head of a queue waited because the token budget was spent, mean over replicas", "pool"),
    ("peak_w", "W", "power", "lower", "peak draw of the node over the measurement window (the "
     "utility: taken in; any other: delivered)", "power"),
    ("mean_w", "W", "power", "lower", "mean draw of the node over the measurement window (the "
     "utility: taken in; any other: delivered)", "power"),
    ("energy_j", "J", "energy", "lower", "energy taken in by the node over the measurement window",
     "power"),
    ("over_limit_s", "s", "time", "lower", "time in the measurement window above the node's "
     "budget, or its rating where no budget is stated", "power"),
    ("headroom_w", "W", "power", "higher", "the node's budget (or rating) less its peak draw over "
     "the measurement window; the least of several budgets in turn", "power"),
    ("brakes", "", "count", "lower", "times in the measurement window that a power brake was "
     "commanded", "power site"),
    ("brake_s", "s", "time", "lower", "time in the measurement window with the power brake on, "
     "summed over the power nodes that have one", "power site"),
    ("clock_commands", "", "count", "lower", "commands to clocks that power policies gave in the "
     "measurement window", "power site"),
    ("trips", "", "count", "lower", "breakers that opened, UPSs that let their load go and "
     "batteries that ran empty, over the whole run", "site"),
    ("over_budget_s", "s", "time", "lower", "time in the measurement window in which the site took "
     "more from the utility than its budget (or rating)", "site"),
    ("peak_draw_w", "W", "power", "lower", "peak draw of the site from the utility over the "
     "measurement window", "site"),
    ("mean_draw_w", "W", "power", "lower", "mean draw of the site from the utility over the "
     "measurement window", "site"),
    ("headroom_w", "W", "power", "higher", "the utility budget (or rating) less the peak draw; "
     "the least of several budgets in turn", "site"),
    ("energy_j", "J", "energy", "lower", "energy taken from the utility over the measurement "
     "window, losses included", "site"),
    ("generator_energy_j", "J", "energy", "lower", "energy delivered by generators over the "
     "measurement window, on top of what the utility gave", "site"),
    ("energy_per_output_token", "J/token", "energy_per_token", "lower", "energy taken from the "
     "utility over output tokens delivered, both in the measurement window", "site"),
    ("energy_cost_per_mtoken", "USD/Mtoken", "money_per_token", "lower", "price of the energy "
     "taken from the utility, and of what cooling takes where it is stated, over millions of "
     "output tokens delivered, both in the measurement window", "site"),
    ("energy_cost", "USD", "money", "lower", "price of the energy taken from the utility, and of "
     "what cooling takes where it is stated, over the measurement window", "site"),
    ("cost_per_million_tokens", "USD/Mtoken", "money_per_token", "lower", "cost of the whole site "
     "over the measurement window (capital spread over its life, maintenance, staff, energy; by "
     "costs and price of the scenario, else the defaults of data/costs) over millions of output "
     "tokens of requests that arrived in it and met every objective", "site"),
    ("pue", "", "ratio", "lower", "energy of racks, feeds and cooling over that of the racks "
     "alone, a ratio of energies over the measurement window", "site"),
    ("cooling_energy_j", "J", "energy", "lower", "energy of chillers, fans, pumps, tower and "
     "auxiliaries over the measurement window, by the minute's mean draw and the hour's weather",
     "site"),
    ("facility_energy_j", "J", "energy", "lower", "energy taken from the utility and by cooling "
     "over the measurement window", "site"),
    ("facility_peak_w", "W", "power", "lower", "highest minute's mean of what the site takes from "
     "the utility and for cooling, over the measurement window", "site"),
    ("carbon_g", "gCO2", "carbon", "lower", "average (not marginal) carbon of the energy taken "
     "from the utility, and by cooling where it is stated, over the measurement window", "site"),
    ("carbon_per_mtoken", "gCO2/Mtoken", "carbon_per_token", "lower", "average (not marginal) "
     "carbon of that energy over millions of output tokens delivered, both in the measurement "
     "window", "site"),
    ("water_l", "L", "volume", "lower", "water that the cooling tower evaporates over the "
     "measurement window; the power plant's is not counted", "site"),
    ("water_per_mtoken", "L/Mtoken", "volume_per_token", "lower", "water that the cooling tower "
     "evaporates over millions of output tokens delivered, both in the measurement window",
     "site"),
    ("goodput_per_mw", "/s/MW", "goodput_per_power", "higher", "goodput per megawatt of "
     "provisioned power (the utility budget, else the sum of the top ratings)", "site"),
    ("busiest_link_use", "", "fraction", "lower", "bytes that a directed link of the network "
     "carried in the measurement window over what it could have carried, of the link that is "
     "busiest", "site"),
    ("link_saturated_s", "s", "time", "lower", "time in the measurement window in which a "
     "directed link of the network was full, of the link that was full longest", "site"),
)  # fmt: skip


def _definitions() -> dict[tuple[str, str], MetricDefinition]:
    table = {(d.scope, d.name): d for d in _workload_definitions()}
    for name, unit, dimension, better, text, scopes in _ROWS:
        for scope in scopes.split():
            table[scope, name] = MetricDefinition(name, unit, dimension, better, text, None, scope)
    return table


#: (scope, name) → definition, in the order in which metrics are listed.
DEFINITIONS: Mapping[tuple[str, str], MetricDefinition] = _definitions()


def names(scope: str) -> tuple[str, ...]:
    """The names of all metrics of a scope, in listing order."""
    return tuple(name for where, name in DEFINITIONS if where == scope)


def full_name(scope: str, entity: str, name: str) -> str:
    """A metric's name with its scope: ``chat.ttft_p99``, ``pools[chat].energy_j``, …."""
    if scope == "site":
        return name
    return f"{entity}.{name}" if scope == "workload" else f"{_PREFIX[scope]}[{entity}].{name}"


_PREFIX = {"pool": "pools", "power": "power"}
_BRACKETS = re.compile(r"(?P<word>[A-Za-z_]+)\[(?P<entity>[^\]]*)\]\.(?P<name>.+)")


def lookup(
    name: str, *, workloads: Sequence[str], pools: Sequence[str], power_nodes: Sequence[str]
) -> MetricDefinition:
    """The definition behind a full metric name in a scenario with these entities.

    Raises:
        UnknownMetric: no such metric in this scope; the message has the nearest, or its scope.
        UnknownName: no such workload, pool or power node, with the nearest.
    """
    entities = {"workload": workloads, "pool": pools, "power": power_nodes, "site": ()}
    scope, entity, base = _split(name, entities)
    if scope != "site" and entity not in entities[scope]:
        kind = {"workload": "workload", "pool": "pool", "power": "power node"}[scope]
        raise UnknownName(kind, entity, entities[scope])
    if (scope, base) in DEFINITIONS:
        return DEFINITIONS[scope, base]
    raise UnknownMetric(name, _explain(name, scope, entity, base, entities))


def _split(name: str, entities: Mapping[str, Sequence[str]]) -> tuple[str, str, str]:
    match = _BRACKETS.fullmatch(name)
    if match:
        for scope, word in _PREFIX.items():
            if match["word"] == word:
                return scope, match["entity"], match["name"]
        if match["word"] in ("workload", "workloads"):
            raise UnknownMetric(
                name,
                f"unknown metric {name!r} (did you mean '{match['entity']}.{match['name']}'?)",
            )
        raise UnknownName("scope", match["word"], _PREFIX.values())
    entity, dot, base = name.rpartition(".")
    word, _, inner = entity.partition(".")
    if inner and entity not in entities["workload"] and word in _PREFIX.values():
        raise UnknownMetric(
            name, f"unknown metric {name!r} (did you mean '{word}[{inner}].{base}'?)"
        )
    return ("workload", entity, base) if dot else ("site", "", base)


_WORDS = {"workload": "a workload", "pool": "a pool", "power": "a power node", "site": "the site"}


def _explain(
    name: str, scope: str, entity: str, base: str, entities: Mapping[str, Sequence[str]]
) -> str:
    def written(where: str, metric: str) -> str:
        known = entities[where]
        owner = entity if entity in known else next(iter(known), "NAME")
        return repr(full_name(where, owner, metric))

    homes = [where for where in SCOPES if (where, base) in DEFINITIONS]
    if homes:
        owners = " and ".join(_WORDS[where] for where in homes)
        ways = " or ".join(written(where, base) for where in homes)
        return f"{base!r} is a metric of {owners}: write {ways}"
    for where in (scope, *(other for other in SCOPES if other != scope)):
        close = nearest(base, names(where))
        if close is not None:
            return f"unknown metric {name!r} (did you mean {written(where, close)}?)"
    return f"unknown metric {name!r}; metrics of {_WORDS[scope]}: {', '.join(_short(scope))}"


def _short(scope: str) -> list[str]:
    """Names for a message: the statistics of one latency are one entry, ``ttft_p50…``."""
    return [
        f"{name}…" if name.endswith("_p50") else name
        for name in names(scope)
        if name.rpartition("_")[2] not in ("p90", "p95", "p99")
        and not (scope == "workload" and name.endswith("_mean"))
    ]
