"""What is said of single failures: which the site survives, what each costs, what is in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sim.plan.failing import in_words
from sim.plan.line_at import cell, change_cell
from sim.plan.survives.find import Survival, Survived
from sim.plan.told import BAD, BARS, GOOD, OPEN, Chart, Part, Series, Table, Told
from sim.study.judge import NO, UNDECIDED, YES

#: Rows of a table; of more failures than these the worst are shown.
_MOST = 24
_WORDS = {YES: GOOD, NO: BAD, UNDECIDED: OPEN}


def told_of_survival(found: Survival) -> Told:
    """The whole answer."""
    losses = found.losses
    lines = ", ".join(line.text for line in losses.objectives)
    return Told(
        asked=f"{losses.name}: does {losses.spec.base} meet {lines} with each of "
        f"{_count(len(losses.failures))}, {in_words(losses.moment)}?",
        headline=_headline(found),
        meant=_meant(found),
        reasons=tuple(_reasons(found)),
        parts=tuple(_parts(found)),
    )


def _count(failures: int) -> str:
    return "one failure" if failures == 1 else f"{failures} failures, one at a time"


def answered(found: Survival) -> bool:
    """Whether every line holds in the means, whatever fails."""
    return all(one.holds for one in (found.whole, *found.failed))


def _meant(found: Survival) -> str:
    if not answered(found):
        return BAD
    return GOOD if all(one.answer == YES for one in found.failed) else OPEN


def _headline(found: Survival) -> str:
    survived = [one for one in found.failed if one.holds]
    sure = all(one.answer == YES for one in survived)
    count = len(found.failed)
    if not found.whole.holds:
        return "NO  the lines do not hold even with nothing failed"
    if len(survived) < count:
        each = "failures are" if count > 1 else "failure is"
        return f"NO  {len(survived)} of {count} {each} survived"
    one = f"when {_label(found.failed[0])} fails"
    which = one if count == 1 else f"with each of the {count} failures"
    return f"{'YES' if sure else 'LIKELY'}  every line holds {which}"


def _label(one: Survived) -> str:
    return "nothing" if one.failure is None else one.failure.label


def _reasons(found: Survival) -> Iterator[str]:
    missed = sorted(
        (one for one in found.failed if not one.holds), key=lambda one: -one.worst_margin
    )
    for one in missed[:5]:
        worst = max(
            one.lines,
            key=lambda line: (
                line.objective.margin(line.value) / (abs(line.objective.limit) or 1e-9)
            ),
        )
        sure = "certain" if one.answer == NO else "in the means only"
        yield (
            f"not without {_label(one)}: {worst.objective.text} fails, with {cell(worst)} "
            f"({sure}, {one.seeds} seeds; binding limit: {one.binding})"
        )
    if len(missed) > 5:
        yield f"nor without {len(missed) - 5} others, in the table"
    open_ones = [one for one in found.failed if one.holds and one.answer != YES]
    if open_ones:
        names = ", ".join(_label(one) for one in open_ones[:6])
        more = f" and {len(open_ones) - 6} more" if len(open_ones) > 6 else ""
        yield f"in the means only, not certain at 95 %: {names}{more}"


def _parts(found: Survival) -> Iterator[Part]:
    shown = sorted(found.failed, key=lambda one: -one.worst_margin)
    kinds = list(dict.fromkeys(one.failure.kind for one in found.failed if one.failure))
    if len(found.failed) > len(kinds):
        yield Part("By what fails", tables=(_by_kind(found, kinds),))
    left = len(shown) - _MOST
    note = "verdicts hold together at 95 %, at any look; the worst first"
    if left > 0:
        note += f"; {left} milder ones are left out (--json has all)"
    yield Part(
        "Evidence",
        tables=(_evidence([found.whole, *shown[:_MOST]], note),),
        charts=tuple(_charts(found, shown[:_MOST])),
    )
    yield Part(
        "What each failure costs",
        tables=(
            Table(
                ("fails", *(line.text for line in found.losses.objectives), "binding limit"),
                tuple(
                    (
                        _label(one),
                        *(
                            change_cell(
                                line.objective,
                                one.costs[line.objective.text].change,
                                one.costs[line.objective.text].interval,
                                one.costs[line.objective.text].equal,
                                "nothing: no run differs",
                            )
                            for line in one.lines
                        ),
                        one.binding,
                    )
                    for one in shown[:_MOST]
                ),
                left=frozenset({0, len(found.losses.objectives) + 1}),
                note="change against the whole site under the same arrivals, 95 % at any look; of "
                "a line on a quantile the share of arrivals that are late",
            ),
        ),
    )
    yield Part(
        "What to bear in mind",
        (
            "failures are tried one at a time, from the moment stated on; events of the base stay",
            "with less than the whole site a pool may be near saturation, where one seed in a "
            "hundred holds a queue that the others lack: a line that just holds deserves more",
        ),
    )


def _by_kind(found: Survival, kinds: Sequence[str]) -> Table:
    rows = []
    for kind in kinds:
        mine = [one for one in found.failed if one.failure and one.failure.kind == kind]
        worst = max(mine, key=lambda one: one.worst_margin)
        counts = [str(sum(one.answer == answer for one in mine)) for answer in (YES, NO, UNDECIDED)]
        rows.append((kind, str(len(mine)), *counts, _label(worst), *map(cell, worst.lines)))
    texts = (line.text for line in found.losses.objectives)
    columns = ("kind", "failures", "survived", "not", "undecided", "the worst", *texts)
    return Table(columns, tuple(rows), left=frozenset({0, 5}))


def _evidence(points: Sequence[Survived], note: str) -> Table:
    return Table(
        ("fails", "survives", "seeds", *(line.objective.text for line in points[0].lines)),
        tuple((_label(one), one.answer, str(one.seeds), *map(cell, one.lines)) for one in points),
        left=frozenset({0, 1}),
        words=_WORDS,
        note=note,
    )


def _charts(found: Survival, shown: Sequence[Survived]) -> Iterator[Chart]:
    for index, objective in enumerate(found.losses.objectives):
        at = [one.lines[index] for one in (found.whole, *shown)]
        factor = 0.01 if objective.is_share else objective.definition.factor
        unit = "%" if objective.is_share else objective.definition.unit
        what = "share of arrivals late" if objective.family else objective.metric
        yield Chart(
            objective.text,
            BARS,
            "fails",
            f"{what} ({unit})" if unit else what,
            (
                Series(
                    objective.text,
                    tuple(line.value / factor for line in at),
                    low=tuple(line.interval.low / factor for line in at),
                    high=tuple(line.interval.high / factor for line in at),
                    names=("nothing", *map(_label, shown)),
                ),
            ),
            (("limit", objective.limit / factor),),
        )
