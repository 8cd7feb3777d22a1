"""The one place that finds the files rackplan ships: from a source tree or from a wheel."""

from __future__ import annotations

from pathlib import Path

from sim.errors import RackplanError

_PACKAGE = Path(__file__).resolve().parent


def share(name: str) -> Path:
    """The folder ``data``, ``scenarios`` or ``dashboard`` of this installation.

    A wheel carries them in ``sim/_share``; a source tree has them beside ``sim``.

    Raises:
        RackplanError: the folder is in neither place (a broken installation).
    """
    for home in (_PACKAGE / "_share", _PACKAGE.parent):
        folder = home / name
        if folder.is_dir():
            return folder
    raise RackplanError(f"this installation of rackplan lacks its {name!r} folder; reinstall it")


def data(*parts: str) -> Path:
    """A path inside ``data/``."""
    return share("data").joinpath(*parts)
