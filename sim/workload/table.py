"""A trace in memory, as columns, and the sense that every trace must make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError
from sim.workload.types import NO_SESSION, OPEN

#: Longer than any context, and what a request's row can hold (int32).
MOST_TOKENS = 2**31 - 1
#: Classes of priority are 0 (served first) to this one, as in a scenario file.
LEAST_URGENT = 7


@dataclass(frozen=True)
class TraceTable:
    """The requests of a trace, as it tells them.

    Attributes:
        arrival_s: [n] float64, ascending; NaN where ``after_request`` is set.
        input_tokens, output_tokens: [n] int64.
        priority: [n] int64, or None where the trace has no such column.
        after_request: [n] int64, the row after whose end this one is sent, or ``OPEN``.
        think_s: [n] float64, the pause between that end and the sending.
        cancel_after_s: [n] float64 (inf = never), or None where the trace has no such column.
        prefix_ptr, prefix_ids: CSR of prefix-block ids ([n + 1], [total]), or None.
        session: [n] int64, the session of each row or ``NO_SESSION``; None where the trace has no
            such column, and until ``with_sessions`` has looked for conversations.
        period_s: after this long the trace is over: the last arrival and one mean gap, or the whole
            bin that the last arrival was spread over; NaN where one arrival alone cannot tell.
    """

    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    priority: NDArray[np.int64] | None
    after_request: NDArray[np.int64]
    think_s: NDArray[np.float64]
    cancel_after_s: NDArray[np.float64] | None
    prefix_ptr: NDArray[np.int64] | None
    prefix_ids: NDArray[np.int64] | None
    period_s: float
    session: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)

    def take(self, rows: NDArray[np.int64], arrival_s: NDArray[np.float64]) -> TraceTable:
        """The rows ``rows`` in that order with new arrivals; each keeps what it follows.

        The caller gives whole conversations: a row comes with, and after, the row it follows.
        """
        new_place = np.full(len(self), OPEN, dtype=np.int64)
        new_place[rows] = np.arange(len(rows))
        after = self.after_request[rows]
        ptr, ids = csr_take(self.prefix_ptr, self.prefix_ids, rows)
        return TraceTable(
            arrival_s=arrival_s,
            input_tokens=self.input_tokens[rows],
            output_tokens=self.output_tokens[rows],
            priority=None if self.priority is None else self.priority[rows],
            after_request=np.where(after == OPEN, OPEN, new_place[after]),
            think_s=self.think_s[rows],
            cancel_after_s=None if self.cancel_after_s is None else self.cancel_after_s[rows],
            prefix_ptr=ptr,
            prefix_ids=ids,
            period_s=self.period_s,
            session=None if self.session is None else self.session[rows],
        )


def with_sessions(table: TraceTable) -> TraceTable:
    """The table with sessions as its column says, numbered from 0; else each conversation is one.

    A trace without the column in which no request follows another tells nothing of sessions.
    """
    session = table.session
    if session is None:
        if (table.after_request == OPEN).all():
            return table
        session = roots(table.after_request)
    known = session != NO_SESSION
    numbered = np.full(len(table), NO_SESSION)
    numbered[known] = np.unique(session[known], return_inverse=True)[1]
    return replace(table, session=numbered)


def csr_take(
    ptr: NDArray[np.int64] | None, ids: NDArray[np.int64] | None, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """The lists of ``rows``, in that order, of lists stored as CSR; None stays None."""
    if ptr is None or ids is None:
        return None, None
    counts = ptr[rows + 1] - ptr[rows]
    new_ptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(counts, out=new_ptr[1:])
    return new_ptr, ids[ranges(ptr[rows], counts)]


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, … (count of them) for each start, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    indices: NDArray[np.int64] = np.repeat(starts - (ends - counts), counts)
    return indices + np.arange(total, dtype=np.int64)


def roots(after_request: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n] the open row at the head of each row's conversation."""
    found = np.arange(len(after_request), dtype=np.int64)
    followers = np.flatnonzero(after_request != OPEN)
    for row in followers.tolist():  # a row follows an earlier one, whose root is known by then
        found[row] = found[after_request[row]]
    return found


def check_sense(
    table: TraceTable, file: str, line_of: Callable[[int], tuple[int, str]], *, generative: bool
) -> None:
    """Refuse the first row that makes no sense.

    Args:
        line_of: row → its line in the file (0 if it has none) and a prefix for the message.
        generative: whether a request must generate at least one token.

    Raises:
        DataError: with the row's line, what is wrong and what would be right.
    """
    if not len(table):
        raise DataError(file, "has no requests; a trace needs at least one row")
    checks = [*_token_checks(table, generative), *_time_checks(table), *_choice_checks(table)]
    first = min(
        ((int(np.argmax(bad)), order) for order, (bad, _) in enumerate(checks) if bad.any()),
        default=None,
    )
    if first is not None:
        row, order = first
        line, prefix = line_of(row)
        raise DataError(file, prefix + checks[order][1](row), line)


#: Rows that a rule refuses, and the sentence for one of them.
Check = tuple[NDArray[np.bool_], Callable[[int], str]]


def _token_checks(table: TraceTable, generative: bool) -> list[Check]:
    inputs, outputs = table.input_tokens, table.output_tokens
    return [
        (inputs < 0, lambda i: _negative("input tokens", inputs[i])),
        (inputs == 0, lambda i: "input tokens are 0; a request has at least 1"),
        (outputs < 0, lambda i: _negative("output tokens", outputs[i])),
        (inputs > MOST_TOKENS, lambda i: _too_many("input tokens", inputs[i])),
        (outputs > MOST_TOKENS, lambda i: _too_many("output tokens", outputs[i])),
        (
            (outputs == 0) & generative,
            lambda i: "output tokens are 0; only requests of `kind: embedding` generate nothing",
        ),
    ]


def _time_checks(table: TraceTable) -> list[Check]:
    n = np.arange(len(table))
    after, arrival = table.after_request, table.arrival_s
    follows = after != OPEN
    latest = np.fmax.accumulate(np.where(np.isnan(arrival), 0.0, arrival))
    before = np.concatenate([[0.0], latest[:-1]])
    return [
        (
            follows & ~((after >= 0) & (after < n)),
            lambda i: (
                f"after_request {after[i]} does not point back: this is row {i} (counting "
                f"from 0), so it must be from 0 to {i - 1}"
                if i
                else f"after_request is {after[i]}, but the first row has no row to follow"
            ),
        ),
        (
            follows & ~np.isnan(arrival),
            lambda i: "has both arrival_s and after_request; leave one of them empty",
        ),
        (~follows & np.isnan(arrival), lambda i: "has neither arrival_s nor after_request"),
        (arrival < 0, lambda i: f"arrival {arrival[i]:g} s is negative; time starts at 0"),
        (np.isinf(arrival), lambda i: "arrival is not finite"),
        (
            arrival < before,
            lambda i: (
                f"arrival {arrival[i]:.7g} s is before the {before[i]:.7g} s of an earlier row; "
                "sort the trace by arrival"
            ),
        ),
        (
            ~(table.think_s >= 0) | np.isinf(table.think_s),
            lambda i: f"think_s is {table.think_s[i]:g}; it must be finite and not negative",
        ),
        (
            ~follows & (table.think_s > 0),
            lambda i: "has think_s but no after_request; a pause needs a request to follow",
        ),
    ]


def _choice_checks(table: TraceTable) -> list[Check]:
    checks: list[Check] = []
    if table.cancel_after_s is not None:
        cancel = table.cancel_after_s
        checks.append(
            (~(cancel >= 0), lambda i: f"cancel_after_s is {cancel[i]:g}; it must be ≥ 0")
        )
    if table.priority is not None:
        priority = table.priority
        checks.append(
            (
                (priority < 0) | (priority > LEAST_URGENT),
                lambda i: f"priority is {priority[i]}; classes are 0 (served first) to 7",
            )
        )
    return checks


def _negative(what: str, value: object) -> str:
    return f"{what} are {value}; they cannot be negative"


def _too_many(what: str, value: object) -> str:
    return f"{what} are {value}; no request has more than {MOST_TOKENS:,}"
