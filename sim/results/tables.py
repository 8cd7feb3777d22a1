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
        ("ingress_s", "float64", "s", "until its last attempt reached the pool, or would have"),
        ("admitted_s", "float64", "s", "first admission to a running batch"),
        (
            "first_token_s",
            "float64",
            "s",
            "the user has the first token: end of the iteration that ends its prefill, or of its "
            "first one in the pool that decodes it, + egress",
        ),
        (
            "end_s",
            "float64",
            "s",
            "the user has the last token, or knows the outcome: egress after the pool; null if "
            "unfinished",
        ),
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
        ("sent_s", "float64", "s", "when its client sent it"),
        ("replica", "int32", "", "index of the replica it was sent to; null if refused"),
        ("end_s", "float64", "s", "when its client knew how it ended"),
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
        (
            "kind",
            "category",
            "",
            "kv: a prompt on its way to the replica that decodes it; weights: those of a replica; "
            "migration: KV of what runs on a replica that moves, to its new GPUs",
        ),
        ("request_id", "int64", "", "the request; null if it belongs to none"),
        ("source", "int32", "", "index of the replica that sent it; null: no or several replicas"),
        ("target", "int32", "", "index of the replica that decodes it, or that loads"),
        ("size_bytes", "float64", "byte", "over all of its flows"),
        ("admitted_s", "float64", "s", "when the request was admitted to prefill"),
        ("ready_s", "float64", "s", "when its prefill ended; of weights: when the replica was up"),
        ("room_s", "float64", "s", "when the target had reserved blocks for it; null for weights"),
        ("start_s", "float64", "s", "when bytes began to move; layer by layer, before ready_s"),
        ("end_s", "float64", "s", "when the last byte was there, or it ended otherwise"),
        ("alone_s", "float64", "s", "what it would have taken on an empty network"),
        ("outcome", "category", "", "arrived, withdrawn (not wanted any more), lost, unfinished"),
        ("origin", "string", "", "of weights: all that sent some, such as storage-1 or local"),
        (
            "bound",
            "string",
            "",
            "the link that held back its last flow the longest; of weights: of those they came "
            "over, the one that needs longest for all weights it carried while any replica loaded",
        ),
        ("bound_s", "float64", "s", "how long; of weights: bytes over capacity"),
        ("shared", "int32", "", "the most flows that waited for that link at once; kv only"),
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
        (
            "gpus",
            "string",
            "",
            "indices of its GPUs at the end, in rank order, separated by spaces; none: no place",
        ),
        ("node", "string", "", "names of its nodes at the end, separated by spaces"),
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
    "links": _columns(
        ("link", "int32", "", "index of the directed link; a row: it carried a flow or was down"),
        ("name", "string", "", "its two ends; #3: the third of several cables"),
        ("tier", "category", "", "kinds of its two ends (table link_tiers)"),
        ("capacity_bytes_per_s", "float64", "B/s", "as built; what is down counts in down_s"),
        ("bytes", "float64", "B", "carried over [warm-up, duration), as all that follows"),
        ("mean_use", "float64", "", "bytes over what it could carry while up; null if never up"),
        (
            "p50_use",
            "float64",
            "",
            "share of its capacity that it carried at most for half of the time it was up; "
            "within 0.005, exact where 0 or 1",
        ),
        ("p95_use", "float64", "", "the same for 95 % of the time"),
        ("p99_use", "float64", "", "the same for 99 % of the time"),
        ("max_use", "float64", "", "highest share of its capacity, exact"),
        ("saturated_s", "float64", "s", "time full, being the bottleneck of its fastest flows"),
        ("down_s", "float64", "s", "time with capacity 0"),
        ("flows", "int64", "", "flows that were on it"),
        ("held_flows", "int64", "", "flows that ended whose bottleneck it was for longest"),
        ("waiting_flow_s", "float64", "flow·s", "integral of flows whose bottleneck it was"),
        ("most_waiting", "int32", "", "most flows at once whose bottleneck it was"),
    ),
    "link_tiers": _columns(
        ("tier", "category", "", "all directed links between two kinds, idle ones included"),
        ("links", "int32", "", "how many"),
        ("used_links", "int32", "", "of them: carried a flow in [warm-up, duration)"),
        ("capacity_bytes_per_s", "float64", "B/s", "sum"),
        ("bytes", "float64", "B", "carried over [warm-up, duration), as all that follows"),
        ("mean_use", "float64", "", "bytes over what all could carry while up; null if never up"),
        ("max_use", "float64", "", "highest share of its capacity that one of them carried"),
        ("saturated_links", "int32", "", "how many were full at some time"),
        ("saturated_s", "float64", "s", "time full, of the one that was full longest"),
        ("down_links", "int32", "", "how many were down at some time"),
        ("held_flows", "int64", "", "sum over links"),
        ("waiting_flow_s", "float64", "flow·s", "sum over links"),
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
            "sum of first admission to first token at the pool: the prefill, and where another "
            "pool decodes the wait for room there, the transfer and the step that delivers it",
        ),
    ),
    "summary/worst": _columns(
        ("request_id", "int64", "", "the 50 slowest misses per workload and quarter of an hour"),
        ("workload", "category", "", "name of the workload"),
        ("arrival_s", "float64", "s", "sent by the user"),
        ("ttft_s", "float64", "s", "time to first token; null if none"),
        ("tpot_s", "float64", "s", "time per output token after the first; null if it has none"),
        ("e2e_s", "float64", "s", "arrival to end; null if unfinished"),
        ("replica", "int32", "", "index of the replica it was sent to; null if refused"),
        ("input_tokens", "int32", "tokens", "prompt"),
        ("output_tokens", "int32", "tokens", "asked for"),
        ("attempts", "int16", "", "how often it was sent"),
        ("outcome", "category", "", "how it ended"),
        ("cause", "category", "", "the objective missed first: ttft, tpot, e2e; else outcome"),
    ),
    "summary/links": _columns(
        ("link", "int32", "", "index of the directed link (table links)"),
        (
            "start_s",
            "float64",
            "s",
            "a slot of time in [0, duration) in which it carried something",
        ),
        ("slot_s", "float64", "s", "how long the slot is: the same for all but the last"),
        ("mean_use", "float64", "", "share of its capacity that it carried; down counts as 0"),
        ("max_use", "float64", "", "highest share of its capacity, exact"),
        ("saturated_s", "float64", "s", "time full, being the bottleneck of its fastest flows"),
    ),
    "summary/power": _columns(
        ("node", "int32", "", "index of the power node"),
        ("minute", "int32", "min", "minute; one without a row drew as the one before it did"),
        ("min_w", "float64", "W", "lowest, of what is compared with the limit"),
        ("mean_w", "float64", "W", "time-weighted mean"),
        ("max_w", "float64", "W", "highest"),
    ),
}
