"""Why a replica stands where it stands, and what became of it: sentences from a run's tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from sim.errors import UnknownName
from sim.results.wording import percent, span
from sim.units import format_si

if TYPE_CHECKING:
    from sim.results.result import RunResult

#: Events that are told one by one; of more only how many there were of each kind.
_MOST = 20
_NAME = re.compile(r"(?P<pool>.+?)(?:-| replica |\[)(?P<number>\d+)\]?")


@dataclass(frozen=True)
class Replica:
    """A replica of a run: its row, its number within the pool and among all."""

    row: Mapping[str, Any]
    pool: str
    number: int

    @property
    def everywhere(self) -> int:
        """Its number among the replicas of all pools."""
        return int(self.row["replica"])

    @property
    def name(self) -> str:
        """``chat-3``."""
        return f"{self.pool}-{self.number}"


def replicas_of(result: RunResult) -> dict[str, Replica]:
    """Name → replica, in order; the first of a pool is ``chat-0``."""
    found: dict[str, Replica] = {}
    counts: Counter[str] = Counter()
    for row in result.tables["replicas"].to_pylist():
        pool = str(row["pool"])
        replica = Replica(row, pool, counts[pool])
        counts[pool] += 1
        found[replica.name] = replica
    return found


def replica_named(result: RunResult, name: str) -> Replica:
    """The replica that a user means: ``chat-3``, ``chat replica 3``, ``chat[3]``.

    Raises:
        UnknownName: the run has none.
    """
    known = replicas_of(result)
    match = _NAME.fullmatch(name.strip())
    wanted = f"{match['pool']}-{int(match['number'])}" if match else name
    if wanted not in known:
        raise UnknownName("replica", name, list(known))
    return known[wanted]


def placements(result: RunResult) -> list[dict[str, Any]]:
    """One row for each replica: its place, who chose it, and what was refused before."""
    table = result.tables["decisions"]
    placed = table.filter(pc.equal(table["role"].cast("string"), "placement")).to_pylist()
    refused = Counter(row["subject"] for row in placed if not row["accepted"])
    taken = {row["subject"]: row for row in placed if row["accepted"]}
    rows = []
    for name, replica in replicas_of(result).items():
        subject = f"{replica.pool} replica {replica.number}"
        chosen = taken.get(subject)
        rows.append(
            {
                "replica": name,
                "node": replica.row["node"],
                "gpus": _ranges(str(replica.row["gpus"]).split()),
                "policy": "" if chosen is None else chosen["policy"],
                "choice": "" if chosen is None else chosen["rank"] + 1,
                "refused": refused[subject],
            }
        )
    return rows


def explain_replica(
    result: RunResult, replica: Replica, purpose: Callable[[str], str] = lambda policy: ""
) -> list[str]:
    """Where it is, why there and not elsewhere, what happened to it, what it did.

    ``purpose``: what a placement policy is for, in a sentence; "" if that is not known.
    """
    return [
        *_where(result, replica),
        *_life(result, replica, purpose),
        *_work(result, replica),
    ]


def _where(result: RunResult, replica: Replica) -> Iterator[str]:
    row = replica.row
    gpus = str(row["gpus"]).split()
    count = sum(one.pool == replica.pool for one in replicas_of(result).values())
    if not gpus:
        yield f"{replica.name}, one of {count} replicas of {replica.pool}, has no GPUs at the end."
        return
    yield (
        f"{replica.name}, one of {count} replicas of {replica.pool}, is on "
        f"{'GPU' if len(gpus) == 1 else 'GPUs'} {_ranges(gpus)} ({row['gpu']}) of "
        f"{' and '.join(str(row['node']).split())}, "
        f"with room for {16 * int(row['kv_blocks']):,} tokens of KV."
    )
    feeds = _feeds(result, str(row["node"]))
    if feeds:
        yield f"Its server is fed by {feeds}."


def _ranges(gpus: list[str]) -> str:
    """``0 to 3``, ``0, 2 and 4``: the numbers of GPUs."""
    numbers = sorted(map(int, gpus))
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _feeds(result: RunResult, node: str) -> str:
    """The way up of the first server of a replica, level by level."""
    nodes = result.tables["power_nodes"]
    names = nodes["name"].to_pylist()
    server = node.partition(",")[0].partition(" ")[0]
    if server not in names or "power_edges" not in result.tables:
        return ""
    edges: dict[int, list[int]] = {}
    for edge in result.tables["power_edges"].to_pylist():
        edges.setdefault(edge["child"], []).append(edge["parent"])
    levels, here = [], [names.index(server)]
    while here:
        here = sorted({parent for child in here for parent in edges.get(child, ())})
        if here:
            levels.append(" and ".join(names[parent] for parent in here))
    return ", ".join(levels)


def _life(result: RunResult, replica: Replica, purpose: Callable[[str], str]) -> Iterator[str]:
    """What was decided about its place and what happened to it, in order of time."""
    decided = list(_decisions(result, replica, purpose))
    happened = list(_events(result, replica))
    if not decided:
        yield "No decision about its place is recorded."
    # At one time: what led to a decision, the decision, what follows from it.
    told = [(time_s, 1, sentences) for time_s, sentences in decided] + happened
    for _, _, sentences in sorted(told, key=lambda one: one[:2]):
        yield from sentences
    if not happened:
        yield "Nothing happened to it: it did not fail, come, leave or move."


def _decisions(
    result: RunResult, replica: Replica, purpose: Callable[[str], str]
) -> Iterator[tuple[float, list[str]]]:
    """(time, sentences) of each time that a place was looked for."""
    table = result.tables["decisions"]
    mine = table.filter(
        pc.and_(
            pc.equal(table["role"].cast("string"), "placement"),
            pc.equal(table["subject"], f"{replica.pool} replica {replica.number}"),
        )
    ).to_pylist()
    told: set[str] = set()
    for time_s in sorted({row["t_s"] for row in mine}):
        rows = [row for row in mine if row["t_s"] == time_s]
        refused = [row for row in rows if not row["accepted"]]
        policy = str(rows[0]["policy"])
        nowhere = "no place for it"
        if any(row["reason_code"] == "no-gain" for row in refused):
            nowhere = "no place that it was worth moving to"
        sentences = [_taken(row, replica, time_s) for row in rows if row["accepted"]] or [
            f"At {span(time_s)} {policy} found {nowhere}."
        ]
        meant = purpose(policy)
        if meant and policy not in told:
            sentences.append(f"The policy: {meant}")
        told.add(policy)
        before = next((row["rank"] for row in rows if row["accepted"]), None)
        yield time_s, [*sentences, *_refusals(refused, before)]


def _taken(row: Mapping[str, Any], replica: Replica, time_s: float) -> str:
    choice = "its first choice" if not row["rank"] else f"its choice {row['rank'] + 1}"
    gpus = str(row["suggestion"]).split()
    where = "there"
    if gpus != str(replica.row["gpus"]).split():
        where = f"on {'GPU' if len(gpus) == 1 else 'GPUs'} {_ranges(gpus)}"
    return f"At {span(time_s)} {row['policy']} put it {where}, {choice}."


def _refusals(refused: list[dict[str, Any]], before: int | None) -> Iterator[str]:
    """Why earlier choices did not hold: of each reason the first, which is what a run writes down.

    ``before``: how many there were; None: nobody counted them.
    """
    if not refused:
        return
    plural = "s were" if before != 1 else " was"
    yield f"{'' if before is None else f'{before} '}suggestion{plural} refused before:".capitalize()
    for code, row in {str(row["reason_code"]): row for row in reversed(refused)}.items():
        yield f"  {code}, such as {row['suggestion']}: {row['reason']}."


_TOLD = {
    "replica-fails": "it failed: {}", "replica-returns": "it served again: {}",
    "replica-parked": "it was parked: {}", "replica-cut": "its servers were cut apart: {}",
    "weights-load": "it began to load weights, {}", "replica-added": "it came: {}",
    "replica-waits": "it began to wait: {}", "replica-replaced": "it was placed anew, {}",
    "replica-removed": "it was taken away: {}", "replica-stays": "it stayed: {}",
    "replica-moves": "it set out {}", "replica-moved": "it had moved {}",
    "migration-ends": "its move ended: {}", "migration-refused": "it could not move: {}",
}  # fmt: skip


#: What may be why a place is looked for at the same time.
_CAUSES = ("replica-fails", "replica-cut", "replica-removed", "replica-parked")


def _events(result: RunResult, replica: Replica) -> list[tuple[float, int, list[str]]]:
    """(time, rank, sentence) of each event of it; of very many the first ones, and how many more.

    The rank is 0 of what came before any decision at its time, else 2.
    """
    table = result.tables["events"]
    mine = table.filter(pc.equal(table["entity"], f"replica {replica.everywhere}")).to_pylist()
    names = {one.everywhere: name for name, one in replicas_of(result).items()}
    found: list[tuple[float, int, list[str]]] = []
    for event in mine[:_MOST]:
        time_s, kind, detail = event["t_s"], str(event["kind"]), str(event["detail"])
        if kind == "weights-load":  # which says of whom by their numbers
            detail = re.sub(r"replica (\d+)", lambda of: names[int(of[1])], detail)
        told = _TOLD.get(kind, f"{kind}: {{}}").format(detail)
        late = bool(found) and found[-1][:2] == (time_s, 2)
        rank = 0 if kind in _CAUSES and not late else 2
        found.append((time_s, rank, [f"At {span(time_s)} {told}."]))
    if len(mine) > _MOST:
        counts = Counter(str(event["kind"]) for event in mine[_MOST:])
        more = ", ".join(f"{count} × {kind}" for kind, count in counts.items())
        first_s, last_s = mine[_MOST]["t_s"], mine[-1]["t_s"]
        text = f"From {span(first_s)} to {span(last_s)} there were {more} besides."
        found.append((last_s, 2, [text]))
    return found


def _work(result: RunResult, replica: Replica) -> Iterator[str]:
    row = replica.row
    window_s = float(result.manifest["window"]["measured_s"])
    busy = f"{span(row['busy_s'])} of {span(window_s)} measured"
    share = f" ({percent(row['busy_s'] / window_s)})" if window_s else ""
    yield (
        f"It was busy for {busy}{share}: {int(row['prefill_tokens']):,} tokens of prompts, "
        f"{int(row['decode_tokens']):,} of answers, {format_si(row['energy_j'], 'J')} at its GPUs, "
        f"{int(row['preemptions']):,} preemptions."
    )
    table = result.tables["decisions"]
    refused = table.filter(
        pc.and_(
            pc.equal(table["role"].cast("string"), "routing"),
            pc.and_(
                pc.invert(table["accepted"]),
                pc.equal(table["suggestion"], str(replica.number)),
            ),
        )
    )
    if refused.num_rows and _one_pool(result):
        rows = refused.to_pylist()
        counts = Counter(str(row["reason_code"]) for row in rows)
        parts = ", ".join(f"{count:,} for {code}" for code, count in counts.most_common())
        yield f"Routing would have sent it {len(rows):,} requests more: refused {parts}."


def _one_pool(result: RunResult) -> bool:
    """Whether positions in the routing decisions can only be of one pool."""
    return len(result.manifest["pools"]) == 1
