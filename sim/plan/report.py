"""A plan as one page that a manager reads: no script, nothing loaded from anywhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sim.errors import RackplanError
from sim.plan.pictures import svg_of
from sim.plan.told import Chart, Part, Table, Told


@dataclass(frozen=True)
class _Shown:
    """A part with its charts drawn."""

    heading: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    pictures: tuple[tuple[Chart, Markup], ...]


def page_of(name: str, told: Told, more: tuple[Part, ...], footer: str) -> str:
    """The page as HTML; all text that comes from files is escaped.

    Args:
        name: the study's.
        told: the answer; ``more``: assumptions, sources and warnings, after its own parts.
        footer: how the page was made, in a sentence.
    """
    environment = Environment(
        loader=PackageLoader("sim.plan", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template = environment.get_template("report.html.j2")
    parts = [
        _Shown(
            part.heading, part.sentences, part.tables,
            tuple((chart, Markup(svg_of(chart))) for chart in part.charts),
        )
        for part in (*told.parts, *more)
        if part.sentences or part.tables or part.charts
    ]  # fmt: skip
    return template.render(name=name, told=told, parts=parts, footer=footer)


def check_report(path: Path) -> None:
    """See whether a page can be written there, before anything long begins.

    Raises:
        RackplanError: it cannot.
    """
    if path.is_dir():
        raise RackplanError(f"--report {path}: is a folder; name a file, such as answer.html")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        # A page is put in place of what is there: of a device or a link that would be the end.
        raise RackplanError(f"--report {path}: is no plain file; name one, such as answer.html")
    if not path.parent.is_dir():
        raise RackplanError(f"--report {path}: there is no folder {path.parent}")


def write_report(path: Path, page: str) -> None:
    """Write the page, whole or not at all.

    Raises:
        RackplanError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(page, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RackplanError(f"--report {path}: cannot be written: {error.strerror}") from error
