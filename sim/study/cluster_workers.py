"""Which workers of a Dask cluster a study may use: the same rackplan, and the same folder.

Results must not depend on where they were made, and what a worker writes must be there for all, so
a worker is asked before it gets anything: for the versions that a result depends on, and to read a
file that was written here a moment ago and to write one beside it. Asking is the only rule that
holds for every kind of shared folder: paths may look alike on two machines and lead to two disks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.errors import RackplanError, ResultError
from sim.results.manifest import versions
from sim.study.cluster_worker import About, about

#: At most so many workers are named in a message.
_NAMED = 3


class ClusterError(RackplanError):
    """A cluster that cannot be reached, or whose workers cannot take part."""


class Workers:
    """The workers that may be given tasks.

    Args:
        client: of Dask, connected.
        folder: of the runs; made if it is not there.
    """

    def __init__(self, client: Any, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._versions = versions()
        self.admitted: dict[str, About] = {}  # by address
        self._refused: dict[str, str] = {}

    def look(self) -> list[str]:
        """Take note of those that came and went; why newcomers cannot take part.

        Raises:
            OSError: the scheduler cannot be reached any more.
            ResultError: the folder cannot be written.
        """
        there = self._client.nthreads()
        for known in (self.admitted, self._refused):
            for address in [address for address in known if address not in there]:
                del known[address]
        new = [a for a in there if a not in self.admitted and a not in self._refused]
        if not new:
            return []
        refused = []
        with _token(self._folder) as token:
            answers = self._client.run(about, str(token), workers=new, on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, OSError):
                continue  # gone already, or too busy to answer: asked again if it is there
            problem = self._problem(answer)
            if problem:
                self._refused[address] = problem
                who = f" ({answer.who})" if isinstance(answer, About) else ""
                refused.append(f"worker {address}{who}: {problem}")
            else:
                self.admitted[address] = answer
        return refused

    def _problem(self, answer: object) -> str:
        if isinstance(answer, ImportError):
            return f"it cannot import this version of rackplan ({answer}): install the same there"
        if not isinstance(answer, About):
            return f"it cannot say what it is: {type(answer).__name__}: {answer}"
        different = _difference(answer.versions, self._versions)
        if different:
            return f"it has {different}: results would depend on who made them"
        if answer.problem:
            return (
                f"it does not see the folder of the runs ({answer.problem}): take an --out that "
                "is shared by all machines"
            )
        return ""

    def gone(self, address: str) -> None:
        """Forget a worker of which something else is known than that it left: it is asked anew."""
        self.admitted.pop(address, None)


def _difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """``numpy 2.1.0, not 2.2.1 as here``; "" where all is the same."""
    return ", ".join(
        f"{name} {theirs.get(name, 'unknown')}, not {ours[name]} as here"
        for name in ours
        if theirs.get(name) != ours[name]
    )


@contextmanager
def _token(folder: Path) -> Iterator[Path]:
    """A file that holds its own name, until the block ends.

    Raises:
        ResultError: it cannot be written.
    """
    token = folder / f".cluster-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        token.write_text(token.name, encoding="utf-8")
    except OSError as error:
        raise ResultError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)


def listed(refused: list[str]) -> str:
    """Why workers cannot take part, one a line; of many the first."""
    more = len(refused) - _NAMED
    lines = refused[:_NAMED] + ([f"and {more} workers more"] if more > 0 else [])
    return "\n".join(lines)
