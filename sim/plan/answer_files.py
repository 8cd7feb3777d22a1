"""The folder that a plan leaves: what was asked, the answer as data, and as it is read.

It stands beside those of the runs: ``answer.json`` has ``content`` (the answer in JSON types),
``told`` (the answer as it is read) and ``more`` (assumptions, definitions, warnings, sources).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import ResultError
from sim.plan.told import Answer, Part, Told
from sim.plan.told_json import parts_from, parts_json, told_from, told_json
from sim.results.folders import MANIFEST, WorkFolder, run_folder_name
from sim.results.manifest import FORMAT, plain, versions
from sim.results.result import PLAN, read_json

ANSWER = "answer.json"


@dataclass(frozen=True)
class Question:
    """What was asked: the study's name and text, and how the command changed it.

    ``file``: its name, without a folder. ``seeds``: stated on the command line, None if not.
    """

    name: str
    file: str
    text: str
    sets: tuple[str, ...] = ()
    seeds: int | None = None


@dataclass(frozen=True)
class Evidence:
    """What an answer rests on: an engine, so many runs, and one of them (its folder's name)."""

    engine: str
    runs: int
    example: str | None = None


@dataclass(frozen=True)
class SavedPlan:
    """The folder of an answer, read back.

    ``content``: the answer in JSON types. ``more``: parts that follow those of ``told``.
    """

    folder: Path
    question: Question
    evidence: Evidence
    answered: bool
    versions: Mapping[str, str]
    content: Mapping[str, Any] = field(repr=False)
    told: Told = field(repr=False)
    more: tuple[Part, ...] = field(repr=False)


def folder_name(question: Question, content: Mapping[str, Any]) -> str:
    """``<study>-<hash8>``: hash8 is of what was asked and of the answer.

    The answer is in it because a study rests on other files, of which the base is only one: the
    same question to another base leaves another folder, and the same one again the same.
    """
    asked = [question.text, question.sets, question.seeds, content]
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{run_folder_name(question.name, {}, 0).rsplit('-', 2)[0]}-{digest}"


def save(
    out: Path, question: Question, answer: Answer, evidence: Evidence, more: Sequence[Part] = ()
) -> Path:
    """Write the folder of an answer of any kind under ``out``, whole or not at all; where it is.

    Raises:
        ResultError: it exists and is no result, or cannot be written.
    """
    content = plain(answer.content())
    told = told_json(answer.told())
    manifest = {
        "format": FORMAT,
        "kind": PLAN,
        "outcome": "complete",
        "answered": answer.answered,
        "headline": told["headline"],
        "study": question.name,
        "question": {
            "file": question.file,
            "text": question.text,
            "sets": question.sets,
            "seeds": question.seeds,
        },
        "engine": evidence.engine,
        "runs": evidence.runs,
        "example": evidence.example,
        "versions": versions(),
    }
    parts = {
        ANSWER: {"content": content, "told": told, "more": parts_json(more)},
        MANIFEST: plain(manifest),
    }
    work = WorkFolder(out / folder_name(question, content))
    try:
        for name, part in parts.items():
            text = json.dumps(part, indent=1, ensure_ascii=False, allow_nan=False)
            (work.path / name).write_text(text + "\n", encoding="utf-8")
        return work.publish(partial=False)
    except OSError as error:
        work.discard()
        raise ResultError(f"cannot write {work.target}: {error.strerror}") from error
    except BaseException:
        work.discard()
        raise


#: What the manifest of an answer must have: key → type.
_SHAPE: Mapping[str, type | tuple[type, ...]] = {
    "answered": bool,
    "study": str,
    "question": dict,
    "engine": str,
    "runs": int,
    "example": (str, type(None)),
    "versions": dict,
}
_OF_QUESTION: Mapping[str, type | tuple[type, ...]] = {
    "file": str,
    "text": str,
    "sets": list,
    "seeds": (int, type(None)),
}


def read_answer(folder: Path) -> SavedPlan:
    """The answer in a folder that ``save`` wrote; every shape is checked.

    Raises:
        ResultError: it holds none, or not what ``save`` writes.
    """
    file = folder / MANIFEST
    manifest = read_json(file)
    if not isinstance(manifest, dict) or manifest.get("kind") != PLAN:
        raise ResultError(f"{folder} does not hold the answer of a plan")
    if manifest.get("format") != FORMAT:
        raise ResultError(
            f"{folder} was written in format {manifest.get('format')!r:.60}; this rackplan reads "
            f"format {FORMAT}: ask the plan again"
        )
    _check(file, manifest, _SHAPE)
    asked = manifest["question"]
    _check(file, asked, _OF_QUESTION, "question.")
    place = folder / ANSWER
    answer = read_json(place)
    if not isinstance(answer, dict) or not isinstance(answer.get("content"), dict):
        raise ResultError(f"{place} is damaged: 'content' is missing or not an object")
    return SavedPlan(
        folder=folder,
        question=Question(
            manifest["study"], asked["file"], asked["text"],
            tuple(str(one) for one in asked["sets"]), asked["seeds"],
        ),
        evidence=Evidence(manifest["engine"], manifest["runs"], manifest["example"]),
        answered=manifest["answered"],
        versions={str(name): str(text) for name, text in manifest["versions"].items()},
        content=answer["content"],
        told=told_from(answer.get("told"), f"{place}: told"),
        more=parts_from(answer.get("more"), f"{place}: more"),
    )  # fmt: skip


def _check(
    file: Path,
    content: Mapping[str, Any],
    shape: Mapping[str, type | tuple[type, ...]],
    under: str = "",
) -> None:
    for key, kind in shape.items():
        value = content.get(key)
        if key not in content or not isinstance(value, kind):
            raise ResultError(
                f"{file} is damaged: '{under}{key}' is missing or not what is written"
            )
        if isinstance(value, bool) and kind is not bool:
            raise ResultError(f"{file} is damaged: '{under}{key}' is {value}, not a number")
