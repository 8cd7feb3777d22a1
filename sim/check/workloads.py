"""The ``workload`` section: one way to send, one way to measure, and lengths that can be served."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sim.check.collector import Collector
from sim.check.files import located_file
from sim.check.scenario import Pool
from sim.check.traces import check_trace
from sim.check.user_path import check_path
from sim.errors import DataError, UnknownName
from sim.perf.step import BLOCK_TOKENS
from sim.spec.nodes import Path, shorten
from sim.spec.workload import ProfileFileSpec, RetrySpec, SloSpec, SourceSpec, WorkloadSpec
from sim.units import format_si
from sim.workload import synthetic_names
from sim.workload.plan import Objectives, Retry, SharedPrefix, Synthetic, Workload
from sim.workload.profile import read_profile

#: More arrivals of one workload, or turns of on and off, are a slip of the keyboard: a day of a
#: large site has 10⁸ requests.
MOST_EVENTS = 10**10


def check_workloads(found: Collector, pools: Mapping[str, Pool]) -> list[Workload]:
    """The usable workloads in order."""
    document = found.document
    found.unique(
        "workload", ((("workload", i, "name"), name) for i, name in document.declared("workload"))
    )
    workloads = []
    for i, spec in enumerate(document.spec.workload):
        workload = None if spec is None else _workload(spec, ("workload", i), pools, found)
        if workload is not None:
            workloads.append(workload)
    _unused(found)
    return workloads


def _unused(found: Collector) -> None:
    """Pools without traffic only draw power: worth a warning."""
    used = found.document.mentioned("workload", "pool")
    if used is None:
        return
    specs = [spec for spec in found.document.spec.pools if spec is not None]
    decoding = {spec.decode.pool for spec in specs if spec.decode is not None}
    for i, name in found.document.declared("pools"):
        if name not in used and name not in decoding:
            found.warn(("pools", i), f"no workload sends requests to pool {name!r}")


def _workload(
    spec: WorkloadSpec, path: Path, pools: Mapping[str, Pool], found: Collector
) -> Workload | None:
    pool = pools.get(spec.pool)
    declared_pool(spec.pool, (*path, "pool"), found)
    one_way = _one_way(spec, path, found)
    synthetic = _synthetic(spec, path, found) if one_way and spec.source is not None else None
    trace = None
    if one_way and spec.trace is not None:
        generative = spec.kind != "embedding"
        trace = check_trace(spec.trace, (*path, "trace"), found, generative=generative)
    if spec.kind == "embedding" and (
        trace is not None or (synthetic is not None and synthetic.lengths != "fixed")
    ):
        way = "trace" if trace is not None else "source"
        message = "an embedding generates nothing, so output lengths are not used"
        found.warn((*path, way), message)
    _slo(spec, path, found)
    _volume(spec, () if synthetic is None else synthetic.profile, path, found)
    user_path = check_path(spec, path, found)
    at_once = spec.clients is not None and not spec.think and not user_path.ingress_s
    if at_once and pool is not None and pool.max_queue:
        found.error(
            (*path, "clients"),
            f"clients that do not think come back at once when pool {pool.name!r} turns them away "
            "(max_queue), for ever: write think: 1 s, say, or leave max_queue out",
        )
    if pool is None or (synthetic is None and trace is None):
        return None
    if synthetic is not None:
        _served(synthetic, pool, pools, path, found)
    slo = spec.slo or SloSpec()
    return Workload(
        name=spec.name,
        kind=spec.kind,
        pool=spec.pool,
        priority=pool.priority if spec.priority is None else spec.priority,
        objectives=Objectives(slo.ttft, slo.tpot, slo.e2e),
        timeout_s=math.inf if spec.timeout is None else spec.timeout,
        cancel_after_s=math.inf if spec.cancel is None else spec.cancel.after,
        cancel_fraction=0.0 if spec.cancel is None else spec.cancel.fraction,
        rate_per_s=spec.rate,
        clients=spec.clients,
        think_s=spec.think or 0.0,
        trace=trace,
        synthetic=synthetic,
        retry=None if spec.retry is None else _retry(spec, spec.retry, pools, path, found),
        path=user_path,
    )


def _retry(
    spec: WorkloadSpec, retry: RetrySpec, pools: Mapping[str, Pool], path: Path, found: Collector
) -> Retry:
    """How clients send again; words that cannot mean anything here are reported."""
    pool = pools[spec.pool]
    here: Path = (*path, "retry")
    outcomes = retry.outcomes or ("failed",)
    decodes = None if pool.decode is None else pools.get(pool.decode.pool)
    limited = any(one is not None and one.max_queue is not None for one in (pool, decodes))
    if retry.max_wait is not None and retry.max_wait < retry.wait:
        found.error(
            (*here, "max_wait"),
            f"{_s(retry.max_wait)} is shorter than the first wait of {_s(retry.wait)}",
        )
    never = {
        "queue-full": (not limited, f"pool {pool.name!r} has no max_queue"),
        "shed": (pool.shed != "oldest", f"pool {pool.name!r} sheds nothing (shed: oldest)"),
        "timed-out": (spec.timeout is None, "the workload has no timeout"),
    }
    for place, outcome in enumerate(outcomes):
        applies, why = never.get(outcome, (False, ""))
        if outcome in outcomes[:place]:
            found.error((*here, "outcomes", place), f"{outcome!r} is there already")
        elif applies:
            found.warn((*here, "outcomes", place), f"no request ends as {outcome!r}: {why}")
    least_s = retry.wait * (1.0 - retry.jitter)
    if spec.cancel is not None and spec.cancel.fraction == 1.0 and spec.cancel.after <= least_s:
        found.warn(
            here,
            f"nobody sends again: clients give up after {_s(spec.cancel.after)}, before the wait "
            f"of at least {_s(least_s)} is over",
        )
    most_s = math.inf if retry.max_wait is None else retry.max_wait
    return Retry(retry.attempts, retry.wait, retry.backoff, most_s, retry.jitter, outcomes)


def declared_pool(name: str, path: Path, found: Collector) -> None:
    """Report a pool that ``pools`` does not declare."""
    names = found.names("pools")
    if name not in names.known:
        found.unknown(path, "pool", name, names)


def known_source(name: str, path: Path, found: Collector) -> bool:
    """Whether there is a synthetic source of this name; if not, that is reported."""
    if name in synthetic_names():
        return True
    found.caught(path, UnknownName("synthetic source", shorten(name), synthetic_names()))
    return False


def _one_way(spec: WorkloadSpec, path: Path, found: Collector) -> bool:
    """Open or closed, from a source or a trace: refuse words that contradict one another."""
    closed = "a closed loop (clients) sends when clients are ready"
    replayed = "a trace has its own arrivals"
    rules = (
        (spec.clients is not None, "rate", f"{closed}; leave out rate or clients"),
        (spec.clients is not None, "burstiness", f"{closed}; leave out burstiness"),
        (spec.clients is not None, "profile", f"{closed}; leave out profile"),
        (spec.trace is not None, "clients", f"{replayed}; clients need a source"),
        (spec.trace is not None, "burstiness", f"{replayed}; leave out burstiness"),
        (spec.trace is not None, "profile", f"{replayed}; leave out profile"),
        (
            spec.trace is not None,
            "shared_prefix",
            "a trace has its own prompts; leave out shared_prefix",
        ),
        (spec.trace is not None, "source", "give a source or a trace, not both"),
        (spec.clients is None, "think", "only clients of a closed loop think; write clients too"),
    )
    fine = True
    for applies, key, message in rules:
        if applies and getattr(spec, key) is not None:
            found.error((*path, key), message, key=True)
            fine = False
    if spec.source is None and spec.trace is None:
        mixes = ", ".join(synthetic_names())
        found.error(path, f"needs a source ({mixes}, or fixed lengths) or a trace")
        fine = False
    return fine


def _synthetic(spec: WorkloadSpec, path: Path, found: Collector) -> Synthetic | None:
    assert spec.source is not None
    lengths = _lengths(spec, spec.source, (*path, "source"), found)
    arrivals = _arrivals(spec, path, found)
    profile = _profile(spec, path, found)
    if lengths is None or arrivals is None or profile is None:
        return None
    return Synthetic(
        lengths=lengths,
        input_tokens=spec.source.input_tokens,
        output_tokens=_output(spec, spec.source),
        arrivals=arrivals,
        profile=profile,
        shared_prefix=_shared_prefix(spec, (*path, "shared_prefix"), found),
    )


def _shared_prefix(spec: WorkloadSpec, path: Path, found: Collector) -> SharedPrefix | None:
    shared = spec.shared_prefix
    if shared is None:
        return None
    if shared.tokens < BLOCK_TOKENS:
        found.error(
            (*path, "tokens"),
            f"only whole KV blocks are shared: at least {BLOCK_TOKENS}, not {shared.tokens}",
        )
    return SharedPrefix(shared.prompts, shared.tokens, shared.skew)


def _output(spec: WorkloadSpec, source: SourceSpec) -> int | None:
    """An embedding of fixed length has no output, whether that is written or not."""
    if spec.kind == "embedding" and source.input_tokens is not None:
        return source.output_tokens or 0
    return source.output_tokens


def _lengths(spec: WorkloadSpec, source: SourceSpec, path: Path, found: Collector) -> str | None:
    fixed = source.input_tokens is not None or source.output_tokens is not None
    embedding = spec.kind == "embedding"
    if source.name is not None:
        if fixed:
            found.error(path, "name a mix or give fixed lengths, not both")
            return None
        return source.name if known_source(source.name, path, found) else None
    if source.input_tokens is None:
        found.error(path, "fixed lengths need input_tokens")
        return None
    output = source.output_tokens
    if embedding and output:
        found.error(
            (*path, "output_tokens"), f"an embedding generates nothing: write 0, not {output}"
        )
        return None
    if not embedding and not output:
        what = "missing" if output is None else "0"
        found.error(
            (*path, "output_tokens"),
            f"an llm workload generates at least one token; this is {what} (kind: embedding has 0)",
        )
        return None
    if spec.clients is None and spec.rate is None:
        found.error(path, "requests of fixed length need a rate, such as 'rate: 5 /s', or clients")
        return None
    return "fixed"


def _arrivals(spec: WorkloadSpec, path: Path, found: Collector) -> Mapping[str, Any] | None:
    """The arrival process: what is stated, else the source's own, else Poisson."""
    how, here = spec.burstiness, (*path, "burstiness")
    if how is None:
        own = spec.source is not None and spec.source.name is not None
        return {"kind": "source" if own else "poisson"}
    stated = [key for key in ("kind", "cv", "on", "off") if getattr(how, key) is not None]
    match stated:
        case ["kind"]:
            return {"kind": "poisson"}
        case ["cv"]:
            return {"kind": "gamma", "cv": how.cv}
        case ["on", "off"]:
            return {"kind": "on-off", "on_s": how.on, "off_s": how.off}
    found.error(here, "write one of poisson, {cv: 2} and {on: 10 s, off: 20 s}")
    return None


def _profile(
    spec: WorkloadSpec, path: Path, found: Collector
) -> tuple[tuple[float, float], ...] | None:
    here = (*path, "profile")
    if isinstance(spec.profile, ProfileFileSpec):
        return _profile_file(spec.profile, (*here, "file"), found)
    steps = spec.profile or ()
    fine = True
    for i in range(1, len(steps)):
        if steps[i].start <= steps[i - 1].start:
            found.error((*here, i, "from"), "times of day must ascend")
            fine = False
    if steps and steps[-1].start >= 86400.0:
        found.error((*here, len(steps) - 1, "from"), "a day ends before 24 h")
        fine = False
    if steps and not any(step.times for step in steps):
        found.error(here, "every multiple is 0, so no request would ever arrive")
        fine = False
    return tuple((step.start, step.times) for step in steps) if fine else None


def _profile_file(
    spec: ProfileFileSpec, path: Path, found: Collector
) -> tuple[tuple[float, float], ...] | None:
    file = located_file(found, path, spec.file, (".csv",))
    if file is None:
        return None
    try:
        return read_profile(file, shorten(spec.file, 100))
    except DataError as error:
        found.error(path, " ".join(str(error).split()))
        return None


def _slo(spec: WorkloadSpec, path: Path, found: Collector) -> None:
    slo, here = spec.slo, (*path, "slo")
    if slo is None:
        return
    if slo.ttft is not None and slo.e2e is not None and slo.ttft > slo.e2e:
        found.error(
            (*here, "ttft"),
            f"{_s(slo.ttft)} to the first token is longer than e2e, {_s(slo.e2e)} to the last",
        )
    if slo.tpot is not None and spec.kind == "embedding":
        found.error((*here, "tpot"), "an embedding generates no tokens; state ttft or e2e")
    if spec.timeout is not None and slo.ttft is not None and spec.timeout < slo.ttft:
        found.warn(
            (*path, "timeout"), "is shorter than the ttft objective, so misses are cut short"
        )


def _volume(
    spec: WorkloadSpec, profile: tuple[tuple[float, float], ...], path: Path, found: Collector
) -> None:
    duration = found.document.spec.duration
    if duration is None:
        return
    how = spec.burstiness
    if how is not None and how.on and how.off:
        turns = duration / (how.on + how.off)
        _bounded(turns, f"{_s(how.on)} on and {_s(how.off)} off", (*path, "burstiness"), found)
    if spec.rate is None:
        return
    highest = max((times for _, times in profile), default=1.0)
    _bounded(spec.rate * highest * duration, "this rate", (*path, "rate"), found)
    expected = spec.rate * (duration - found.document.spec.warm_up)
    if 0 < expected < 10:
        found.warn(
            (*path, "rate"), f"only about {expected:.2g} requests fall into the measured time"
        )


def _bounded(events: float, what: str, path: Path, found: Collector) -> None:
    if events > MOST_EVENTS:
        found.error(
            path,
            f"{what} for the duration would be {events:.2g} events, more than one run holds "
            f"({MOST_EVENTS:,})",
        )


def _served(
    synthetic: Synthetic, pool: Pool, pools: Mapping[str, Pool], path: Path, found: Collector
) -> None:
    """What is known of lengths must fit the LLM's context and some replica's KV cache."""
    shared, llm = synthetic.shared_prefix, pool.llm.llm
    here: Path = (*path, "source")
    parts = [] if shared is None else [shared.tokens]
    if synthetic.input_tokens is not None and synthetic.output_tokens is not None:
        parts += [synthetic.input_tokens, synthetic.output_tokens]
    elif shared is not None:
        here = (*path, "shared_prefix")
    if sum(parts) > llm.max_context:
        found.error(
            here,
            f"{_needed(parts)}, more than the context of {llm.max_context:,} that {llm.name} has",
        )
        return
    # Where another pool decodes, this one holds prompts alone.
    decodes = pools.get(pool.decode.pool) if pool.decode is not None else pool
    held = parts[:-1] if pool.decode is not None and synthetic.output_tokens is not None else parts
    for one, lengths in ((pool, held), (decodes, parts)):
        if one is None:
            continue
        room = max(model.kv_blocks for model in one.models.values()) * BLOCK_TOKENS
        if sum(lengths) > room:
            found.error(
                here,
                f"{_needed(lengths)}, more than the {room:,} that the KV cache of a replica of "
                f"{one.name!r} holds",
            )
            return


def _needed(parts: Sequence[int]) -> str:
    terms, total = " + ".join(f"{part:,}" for part in parts), sum(parts)
    return f"{terms} = {total:,} tokens" if len(parts) > 1 else f"{total:,} tokens"


def _s(value: float) -> str:
    return format_si(value, "s")
