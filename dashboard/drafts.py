"""Scenarios that are edited in the browser: where they start from, and what is wrong with them.

The text is looked at by the code of ``rackplan check``. Files that it names are looked for in one
folder tree and nowhere else: the shipped scenarios' for a shipped scenario, the root of the results
for a file there. For a run, the files that it names are copied beside it, so the process that runs
it finds them in the scenario's own folder and needs no other.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboard.load import View
from sim.check import check
from sim.check.scenario import AnyScenario, Scenario
from sim.errors import Mark, Problem, RackplanError, ScenarioError
from sim.paths import share
from sim.results.folders import run_folder_name
from sim.spec import read_text
from sim.spec.files import real_path, text_of
from sim.spec.loader import MOST_BYTES
from sim.spec.written import yaml_of

#: What messages call the text in the browser, and the name of its file.
FILE = "edited.yaml"
#: Most bytes of files that are copied beside a scenario.
MOST_COPIED = 512 << 20
#: What the box of scenarios to start from calls the run of the page.
OF_RUN = "the chosen run"
_MOST_FILES = 200
_MOST_PROBLEMS = 40
_COLUMNS = 54
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.ya?ml")


@dataclass(frozen=True)
class Start:
    """A scenario to start from: its text, and the folder whose files it may name."""

    text: str
    folder: Path
    seed: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Checked:
    """What there is to say of a text.

    Attributes:
        problems: everything wrong with it; nothing else is set where there is any.
        files: place relative to the scenario's folder → the file that has to be there.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    scenario: AnyScenario | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    def folder(self, seed: int) -> str:
        """The name of the run folder under a seed."""
        assert self.scenario is not None
        return run_folder_name(self.scenario.name, self.scenario.resolved, seed)


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that come with rackplan."""
    return tuple(sorted(file.name for file in share("scenarios").glob("*.yaml")))


def files_under(root: Path) -> tuple[str, ...]:
    """YAML files that are real files directly under the root of the results."""
    try:
        with os.scandir(root) as entries:
            found = [
                entry.name
                for entry in entries
                if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return ()
    return tuple(sorted(found)[:_MOST_FILES])


def of_file(folder: Path, name: str) -> Start:
    """A scenario file of one of the two lists above.

    Raises:
        ScenarioError: it cannot be read.
    """
    _, real = real_path(folder / name)
    if not real.is_relative_to(folder.resolve()):
        raise ScenarioError([Problem(Mark(name), "", "leads out of its folder")])
    return Start(text_of(name, real, Mark(name)), folder.resolve())


def of_run(view: View, root: Path) -> Start:
    """The scenario of a run, as it was written.

    A run kept by an older rackplan has only its resolved tree; it is taken for the shipped scenario
    that resolves to the same tree.

    Raises:
        RackplanError: neither is there.
    """
    tree = view.manifest.get("written")
    if isinstance(tree, Mapping) and tree:
        folder = _folder_of(view, root)
        note = ""
        if folder is None:
            folder = root
            note = "the files that it read are neither in this folder nor shipped as they were"
        return Start(yaml_of(tree), folder, view.seed, note)
    like = like_shipped(view)
    if like is None:
        raise RackplanError(
            f"{view.name} was written by a rackplan that did not keep the scenario as it was "
            "written, and no shipped scenario is the same: run it again, or start from a file"
        )
    start = of_file(share("scenarios"), like)
    return Start(start.text, start.folder, view.seed, f"the shipped {like}, which is the same")


def like_shipped(view: View) -> str | None:
    """The shipped scenario that means the same as a run's, if one of its name does."""
    name = f"{view.scenario}.yaml"
    if name not in shipped():
        return None
    start = of_file(share("scenarios"), name)
    checked = look(start.text, start.folder)
    if checked.scenario is None:
        return None
    seed = 0  # it is in both names
    same = run_folder_name(view.scenario, view.manifest["resolved"], seed)
    return name if checked.folder(seed) == same else None


def _folder_of(view: View, root: Path) -> Path | None:
    """Where the files lie that a run read: the shipped scenarios' folder, or the root."""
    inputs: dict[str, Any] = dict(view.manifest.get("inputs") or {})
    text = yaml_of(view.manifest["written"])
    for folder in (share("scenarios").resolve(), root):
        checked = look(text, folder)
        if checked.problems:
            continue
        digests = {file.name: _sha256(file) for file in checked.files.values()}
        read = {key.rpartition(": ")[2]: digest for key, digest in inputs.items()}
        if all(digests.get(name) in (None, digest) for name, digest in read.items()):
            return folder
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def look(text: str, folder: Path) -> Checked:
    """Check a text whose files lie under ``folder``. Never raises, whatever the text is."""
    size = len(text.encode(errors="replace"))
    if size > MOST_BYTES:
        message = f"has {size:,} bytes; the most a scenario may have is {MOST_BYTES:,}"
        return Checked((Problem(Mark(FILE), "", message),))
    try:
        document = read_text(text, file=FILE, folder=folder)
        scenario = check(document)
    except ScenarioError as error:
        return Checked(error.problems)
    except RackplanError as error:
        return Checked((Problem(Mark(FILE), "", str(error)),))
    except Exception as error:  # a defect of rackplan, which must not take the page with it
        kind = type(error).__name__
        message = f"internal error of rackplan ({kind}: {error}); please report this scenario"
        return Checked((Problem(Mark(FILE), "", message),))
    named = document.folders.named
    return Checked(
        warnings=scenario.warnings,
        remarks=scenario.remarks,
        scenario=scenario,
        files={os.path.relpath(place, folder): file for place, file in named.items()},
    )


def put(text: str, checked: Checked, folder: Path) -> str:
    """Write a checked text and copies of the files it names into a new folder; its file's name.

    Raises:
        RackplanError: a file is named by way of another folder, they are too many bytes, or
            something cannot be read or written.
    """
    name = FILE
    while name in checked.files:
        name = f"_{name}"
    try:
        folder.mkdir(mode=0o700)
        total = sum(file.stat().st_size for file in checked.files.values())
        if total > MOST_COPIED:
            raise RackplanError(
                f"the files that it names have {total:,} bytes, and only {MOST_COPIED:,} are "
                "copied from here; run it on the command line"
            )
        for place, file in checked.files.items():
            target = folder / place
            if not target.resolve().is_relative_to(folder.resolve()):
                raise RackplanError(f"{place!r} leads out of the scenario's folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target, follow_symlinks=False)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        place = error.filename or folder
        raise RackplanError(f"{place}: {(error.strerror or 'error').lower()}") from error
    return name


def messages(text: str, problems: tuple[Problem, ...]) -> str:
    """Problems as a compiler shows them: place and message, the line, a caret under the column."""
    lines = text.splitlines()
    shown = []
    for problem in problems[:_MOST_PROBLEMS]:
        shown += textwrap.wrap(str(problem), _COLUMNS, subsequent_indent="  ")
        mark = problem.mark
        if mark.file == FILE and 0 < mark.line <= len(lines):
            shown += _excerpt(lines[mark.line - 1], mark)
    if len(problems) > _MOST_PROBLEMS:
        shown.append(f"and {len(problems) - _MOST_PROBLEMS:,} more")
    return "\n".join(shown)


def _excerpt(line: str, mark: Mark) -> list[str]:
    """The line of a mark and the caret; of a long line, the part around the column."""
    gutter = f"{mark.line:>4} | "
    room = _COLUMNS - len(gutter)
    first = 0 if len(line) <= room else min(max(0, mark.column - 1 - room // 2), len(line) - room)
    part = line[first : first + room].replace("\t", " ")
    caret = " " * max(0, mark.column - 1 - first) + "^"
    return [gutter + part, " " * (len(gutter) - 2) + "| " + caret]


def summary(scenario: AnyScenario) -> str:
    """What would be run, in one line."""
    if not isinstance(scenario, Scenario):
        return f"{scenario.name}: a placement of pods on nodes"
    from sim.results.wording import span

    gpus = scenario.site.gpus
    whole = scenario.duration_s + scenario.drain_s
    return f"{scenario.name}: {span(whole)} simulated, {gpus:,} GPUs"
