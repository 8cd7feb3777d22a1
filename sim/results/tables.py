"""The result tables: column names, types and units, which become Arrow field metadata.

Null means "not reached", never zero or -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column; ``type`` is an Arrow alias, or "category" for a string of few values."""

    name: str
    type: str
    unit: str
    meaning: str


def _columns(*rows: tuple[str, str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(*row) for row in rows)


#: How a request ended. Every arrival has exactly one of these in the ``requests`` table.
OUTCOMES = (
    "completed",
    "never-fits",  # refused on arrival: beyond the LLM's context or any replica's KV cache
    "queue-full",  # refused on arrival: every suggested replica's queue is at max_queue
    "shed",  # pushed out of the queue by a later arrival (shed: oldest)
    "timed-out",  # waited longer than the workload's timeout before its first admission
    "cancelled",  # the client gave up
    "unfinished",  # still waiting or running when the drain ended
    "failed",  # its replica lost power, no replica of its pool was serving, or its KV was lost
)

TABLES: Mapping[str, tuple[Column, ...]] = {
    "requests": _columns(
        ("request_id", "int64", "", "workload index · 2^40 + row in that workload"),
        ("workload", "category", "", "name of the workload"),
        ("pool", "category", "", "name of the pool"),
        ("replica", "int32", "", "index of the replica it was sent to; null if refused"),
        ("priority", "int8", "", "0 is served first"),
        ("arrival_s", "float64", "s", "sent by the user, for the first time"),
        ("ingress_s", "float64", "s", "until its last attempt reached the pool"),
        ("admitted_s", "float64", "s", "first admission to a running batch"),
        (
            "first_token_s",
            "float64",
            "s",
            "end of the iteration that ends its prefill, or of its first one in the pool that "
            "decodes it",
        ),
        ("end_s", "float64", "s", "last token, or the moment of the outcome; null if unfinished"),
        ("egress_s", "float64", "s", "from the pool to the user"),
        ("input_tokens", "int32", "tokens", "prompt"),
        ("output_tokens", "int32", "tokens", "asked for"),
        ("delivered_tokens", "int32", "tokens", "delivered"),
        ("preemptions", "int32", "", "times it lost its KV blocks and was recomputed"),
        ("prefix_hit_tokens", "int32", "tokens", "prompt tokens found in the prefix cache"),
        ("attempts", "int16", "", "how often it was sent; the columns but arrival: the last time"),
        ("outcome", "category", "", "how it ended"),
        ("met", "bool", "", "completed within every stated objective"),
    ),
    "attempts": _columns(
        ("request_id", "int64", "", "a request that was sent again: this attempt got no answer"),
        ("workload", "category", "", "name of the workload"),
        ("attempt", "int16", "", "1 is the first"),
        ("sent_s", "float64", "s", "when it reached the pool"),
        ("replica", "int32", "", "index of the replica it was sent to; null if refused"),
        ("end_s", "float64", "s", "when it ended"),
        ("delivered_tokens", "int32", "tokens", "delivered, in vain"),
        ("outcome", "category", "", "how it ended, an outcome of requests"),
    ),
    "iterations": _columns(
        ("replica", "int32", "", "index of the replica"),
        ("start_s", "float64", "s", "start of the iteration"),
        ("end_s", "float64", "s", "end of the iteration"),
        ("decodes", "int32", "", "decoding sequences"),
        ("prefill_tokens", "int32", "tokens", "prompt tokens processed"),
        ("kv_tokens", "int64", "tokens", "tokens in KV over the running sequences, at the start"),
        ("waiting", "int32", "", "requests waiting, at the start"),
        ("draw_w", "float64", "W", "draw of one GPU of the replica"),
    ),
    "transfers": _columns(
        ("kind", "category", "", "kv: a prompt on its way to the replica that decodes it"),
        ("request_id", "int64", "", "the request; null if it belongs to none"),
        ("source", "int32", "", "index of the replica that prefilled it"),
        ("target", "int32", "", "index of the replica that decodes it"),
        ("size_bytes", "float64", "byte", "over all of its flows"),
        ("admitted_s", "float64", "s", "when the request was admitted to prefill"),
        ("ready_s", "float64", "s", "when its prefill ended"),
        ("start_s", "float64", "s", "when the target had reserved blocks: bytes move from here"),
        ("end_s", "float64", "s", "when the last byte was there, or it ended otherwise"),
        ("alone_s", "float64", "s", "what it would have taken on an empty network"),
        ("outcome", "category", "", "arrived, withdrawn (not wanted any more), lost, unfinished"),
    ),
    "power": _columns(
        ("node", "int32", "", "index of the power node (table power_nodes)"),
        ("t_s", "float64", "s", "from this moment on"),
        ("out_mw", "int64", "mW", "delivered to what is below it (a server: to its parts)"),
        ("in_mw", "int64", "mW", "taken from its feeds: out and its own loss"),
    ),
    "over_limit": _columns(
        ("node", "int32", "", "index of the power node (table power_nodes)"),
        ("start_s", "float64", "s", "its draw is above its limit from this moment on"),
        ("end_s", "float64", "s", "until this one, or the end of the run"),
        ("peak_mw", "int64", "mW", "the highest of what is compared with the limit in between"),
        ("limit_mw", "int64", "mW", "the limit: the budget, else the rating"),
    ),
    "power_nodes": _columns(
        ("node", "int32", "", "index"),
        ("name", "string", "", "name"),
        ("kind", "category", "", "utility, generator, msb, ups, cooling, pdu, rack, server"),
        ("rating_w", "float64", "W", "rating; null if none was stated"),
        ("budget_w", "float64", "W", "contracted limit; null if none was stated"),
        (
            "limit_w",
            "float64",
            "W",
            "the budget, else the rating; null if neither; of several in "
            "turn, the one that it came nearest to",
        ),
        ("loss_rating_w", "float64", "W", "rating in the loss polynomial; null if lossless"),
        ("loss_a", "float64", "", "loss polynomial, constant"),
        ("loss_b", "float64", "", "loss polynomial, linear"),
        ("loss_c", "float64", "", "loss polynomial, quadratic"),
        ("energy_j", "float64", "J", "taken in over [warm-up, duration)"),
        ("mean_w", "float64", "W", "mean of what is compared with the limit, same window"),
        ("peak_w", "float64", "W", "peak of what is compared with the limit, same window"),
        ("nearest_w", "float64", "W", "peak under limit_w: peak_w, unless the limit changed"),
        ("over_limit_s", "float64", "s", "time above the limit, same window; null if no limit"),
        ("energy_total_j", "float64", "J", "taken in over the whole run, drain included"),
    ),
    "power_edges": _columns(
        ("child", "int32", "", "power node that is fed"),
        ("parent", "int32", "", "power node that feeds it"),
        ("share", "float64", "", "share of the child's intake that this feed carries"),
    ),
    "replicas": _columns(
        ("replica", "int32", "", "index"),
        ("pool", "category", "", "name of the pool"),
        ("gpu", "category", "", "GPU type"),
        ("gpus", "string", "", "indices of its GPUs in rank order, separated by spaces"),
        ("node", "string", "", "names of its nodes, separated by spaces"),
        ("kv_blocks", "int64", "", "KV blocks of 16 tokens"),
        ("busy_s", "float64", "s", "time in iterations, over [warm-up, duration)"),
        ("iterations", "int64", "", "iterations ended, whole run"),
        (
            "prefill_tokens",
            "int64",
            "tokens",
            "prompt tokens processed, recomputation included, whole run",
        ),
        ("decode_tokens", "int64", "tokens", "tokens delivered by decode steps, whole run"),
        ("preemptions", "int64", "", "sequences preempted, whole run"),
        ("energy_j", "float64", "J", "of its GPUs, over [warm-up, duration)"),
        ("kv_token_s", "float64", "token·s", "integral of tokens in KV, over [warm-up, duration)"),
        ("waiting_s", "float64", "request·s", "integral of requests waiting, same window"),
        ("running_s", "float64", "request·s", "integral of requests running, same window"),
        ("blocked_blocks_s", "float64", "s", "head of the queue waited for KV blocks, same window"),
        ("blocked_sequences_s", "float64", "s", "… waited because max_sequences were running"),
        ("blocked_tokens_s", "float64", "s", "… waited because the token budget was spent"),
        ("blocked_held_s", "float64", "s", "… waited because a power policy let nobody in"),
        ("cap_bound_s", "float64", "s", "a power cap kept its clock below the locked one"),
    ),
    "workloads": _columns(
        ("workload", "category", "", "name of the workload"),
        ("pool", "category", "", "name of the pool that serves it"),
        ("energy_j", "float64", "J", "GPU energy attributed to it, over [warm-up, duration)"),
        ("delivered_tokens", "int64", "tokens", "output tokens delivered in [warm-up, duration)"),
    ),
    "decisions": _columns(
        ("t_s", "float64", "s", "when"),
        ("role", "category", "", "placement, routing, batching, power"),
        ("policy", "category", "", "kind of the policy"),
        ("subject", "string", "", "what was decided about"),
        ("rank", "int32", "", "position of the suggestion, 0 = the policy's first choice"),
        ("suggestion", "string", "", "what was suggested"),
        ("accepted", "bool", "", "the arbiter took it"),
        ("reason_code", "category", "", "why not, as a code; null if accepted"),
        ("reason", "string", "", "why not, as a sentence; null if accepted"),
    ),
    "events": _columns(
        ("t_s", "float64", "s", "when"),
        ("kind", "category", "", "what happened"),
        ("entity", "string", "", "to what"),
        ("detail", "string", "", "in words"),
    ),
    "controllers": _columns(
        ("node", "int32", "", "index of the power node that it watches"),
        ("name", "string", "", "name of the node"),
        ("kind", "category", "", "kind of the node"),
        ("commands", "int64", "", "commands to clocks in [warm-up, duration)"),
        ("cap_commands", "int64", "", "commands to power caps, same window"),
        ("admission_commands", "int64", "", "commands to admission, same window"),
        ("refused", "int64", "", "suggestions of its policy that were refused, same window"),
        ("brakes", "int64", "", "times the brake was commanded, same window"),
        ("brake_s", "float64", "s", "time with the brake on, same window"),
        ("lost_readings", "int64", "", "readings that never arrived, same window"),
    ),
    "clocks": _columns(
        ("pool", "category", "", "name of the pool"),
        ("priority", "int8", "", "its class: 0 is served first"),
        ("replicas", "int64", "", "its replicas"),
        (
            "capped_s",
            "float64",
            "replica·s",
            "integral of replicas below their highest clock, over [warm-up, duration)",
        ),
        ("mean_clock", "float64", "", "mean clock as a share of the maximum, same window"),
    ),
    # Counted while writing, so that any view of any run is instant.
    "summary/latency": _columns(
        ("minute", "int32", "min", "minute of arrival (itl: of the token)"),
        ("workload", "category", "", "name of the workload"),
        ("measured", "bool", "", "arrived in [warm-up, duration)"),
        ("metric", "category", "", "ttft, tpot, e2e, queue"),
        (
            "bin",
            "int32",
            "",
            "floor(ln(x / 1 ms) / ln 1.02), -32768 below 1 ns: see sim.results.bins",
        ),
        ("n", "int64", "", "requests in the bin"),
        ("sum_s", "float64", "s", "sum of their values"),
    ),
    "summary/itl": _columns(
        ("workload", "category", "", "name of the workload"),
        ("bin", "int32", "", "64 bins per octave: see sim.results.bins"),
        ("n", "int64", "", "gaps between tokens in the bin, whole run"),
    ),
    "summary/counts": _columns(
        ("minute", "int32", "min", "minute of arrival"),
        ("workload", "category", "", "name of the workload"),
        ("measured", "bool", "", "arrived in [warm-up, duration)"),
        ("outcome", "category", "", "how they ended"),
        ("cause", "category", "", "met, or the objective missed first: ttft, tpot, e2e, outcome"),
        ("n", "int64", "", "requests"),
        ("retries", "int64", "", "times that they were sent again, sum"),
        ("input_tokens", "int64", "tokens", "sum"),
        ("admitted_tokens", "int64", "tokens", "sum of input_tokens of those that were admitted"),
        ("delivered_tokens", "int64", "tokens", "sum"),
        ("preemptions", "int64", "", "sum"),
        ("prefix_hit_tokens", "int64", "tokens", "sum"),
        ("queue_s", "float64", "s", "sum of reaching the pool to first admission"),
        (
            "to_first_token_s",
            "float64",
            "s",
            "sum of first admission to first token: the prefill, and where another pool decodes "
            "the wait for room there, the transfer and the step that delivers it",
        ),
    ),
    "summary/worst": _columns(
        ("request_id", "int64", "", "the 50 slowest misses per workload and quarter of an hour"),
        ("workload", "category", "", "name of the workload"),
        ("arrival_s", "float64", "s", "sent by the user"),
        ("ttft_s", "float64", "s", "time to first token; null if none"),
        ("e2e_s", "float64", "s", "arrival to end; null if unfinished"),
        ("outcome", "category", "", "how it ended"),
    ),
    "summary/power": _columns(
        ("node", "int32", "", "index of the power node"),
        ("minute", "int32", "min", "minute; one without a row drew as the one before it did"),
        ("min_w", "float64", "W", "lowest, of what is compared with the limit"),
        ("mean_w", "float64", "W", "time-weighted mean"),
        ("max_w", "float64", "W", "highest"),
    ),
}
