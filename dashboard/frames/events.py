"""What happened in a run: outages and control actions, for every time line."""

from __future__ import annotations

import pandas as pd

from dashboard.load import RunView, ask

#: What begins a state of an entity → what ends it, and what the state is called.
_STATES = {
    "fails": (("is restored",), "failed"),
    "module-fails": (("module-returns",), "a module short"),
    "trips": (("is restored",), "tripped"),
    "drops-load": (("is restored", "has-power"), "dropped its load"),
    "to-bypass": (("on-mains", "is restored", "module-returns"), "in bypass"),
    "on-battery": (("on-mains", "battery-empty", "loses-power"), "on battery"),
    "battery-empty": (("on-mains", "has-power", "is restored"), "battery empty"),
    "brake-on": (("brake-off",), "braked"),
}
_KINDS = tuple({*_STATES, *(end for ends, _ in _STATES.values() for end in ends)})


def bands(run: RunView) -> pd.DataFrame:
    """States that lasted, one row each: ``start_s``, ``end_s``, ``entity``, ``state``, ``label``.

    ``state`` is "failed", "tripped", "on battery", "braked" and the like; what had not ended by the
    end of the run lasts until there.

    Raises:
        ResultError: the table of events is unreadable.
    """
    events = ask(
        run,
        "select t_s, kind, entity from events where list_contains($kinds, kind) order by t_s",
        kinds=_KINDS,
    )
    found = []
    for entity, mine in events.groupby("entity", sort=False):
        open_since: dict[str, float] = {}
        for t_s, kind in zip(mine["t_s"], mine["kind"], strict=True):
            for begin, (ends, _) in _STATES.items():
                if kind in ends and begin in open_since:
                    found.append((open_since.pop(begin), t_s, entity, begin))
            if kind in _STATES:
                open_since.setdefault(kind, t_s)
        found += [(since, run.end_s, entity, begin) for begin, since in open_since.items()]
    rows = [
        {"start_s": start, "end_s": min(end, run.end_s), "entity": entity,
         "state": _STATES[begin][1], "label": f"{entity} {_STATES[begin][1]}"}
        for start, end, entity, begin in sorted(found)
        if start < run.end_s
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["start_s", "end_s", "entity", "state", "label"])
