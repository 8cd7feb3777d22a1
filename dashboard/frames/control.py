"""What happened to the facility, and what power controllers did about it."""

from __future__ import annotations

import pandas as pd

from dashboard.load import RunView, ask

#: Lane → kinds of events; a kind that is none of these is not about power.
LANES = {
    "facility": ("fails", "is restored", "module-fails", "module-returns", "loses-power",
                 "has-power", "starts", "stops", "on-battery", "on-mains", "battery-empty",
                 "budget-changes"),
    "breaker": ("trips", "drops-load", "to-bypass"),
    "controller": ("clock-commanded", "clock-acted", "cap-commanded", "cap-acted",
                   "admission-commanded", "admission-acted", "brake-commanded",
                   "release-commanded", "brake-on", "brake-off", "telemetry-stale", "clock-set",
                   "cap-set"),
}  # fmt: skip
#: Events of one kind in so many parts of a run are drawn as one mark.
_PARTS = 300
_MOST_ACTIONS = 1000

_MARKS = """
    select kind, floor(t_s / $width)::integer as slot, min(t_s) as t_s, count(*) as n,
           first(entity || ': ' || kind || ', ' || detail order by t_s) as what
    from events where list_contains($kinds, kind) and t_s < $end
    group by kind, slot order by t_s, kind
"""


def lanes(run: RunView) -> pd.DataFrame:
    """Events by lane: ``lane``, ``kind``, ``t_s``, ``n`` (so many close together), ``what`` (the
    first of them in words).

    Raises:
        ResultError: the table is unreadable.
    """
    of = {kind: lane for lane, kinds in LANES.items() for kind in kinds}
    width = max(run.end_s, 1.0) / _PARTS
    found = ask(run, _MARKS, kinds=tuple(of), width=width, end=run.end_s)
    found.insert(0, "lane", found["kind"].map(of))
    return found.drop(columns="slot")


_ACTIONS = """
    select * from (
        select t_s, 0 as place, subject as controller, 'decides' as step,
               policy || ': ' || suggestion as what, accepted, reason
        from decisions where role = 'power'
        union all
        select t_s, 1 as place, entity as controller, kind as step, detail as what,
               null as accepted, null as reason
        from events where list_contains($kinds, kind)
    ) order by t_s, place limit $most
"""


def actions(run: RunView) -> pd.DataFrame:
    """What controllers decided and did, in order, the first 1,000 rows: ``t_s``, ``controller``,
    ``step``, ``what``, ``accepted`` (of a decision), ``reason`` (of a refusal).

    Raises:
        ResultError: a table is unreadable.
    """
    found = ask(run, _ACTIONS, kinds=LANES["controller"], most=_MOST_ACTIONS)
    return found.drop(columns="place")


def controllers(run: RunView) -> pd.DataFrame:
    """The table ``controllers``: what each did over the measured window."""
    return ask(run, "select * from controllers order by node")


_CLOCKS = """
    select pool, priority, replicas, mean_clock, capped_s / nullif(replicas * $seconds, 0) as capped
    from clocks order by pool, priority
"""


def clocks(run: RunView) -> pd.DataFrame:
    """Clocks by pool over the measured window: ``pool``, ``priority``, ``replicas``,
    ``mean_clock`` (share of the maximum) and ``capped`` (share of the replicas' time below their
    highest clock; NaN of an empty window)."""
    return ask(run, _CLOCKS, seconds=max(0.0, run.end_s - run.warm_up_s))
