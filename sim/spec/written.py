"""A scenario as one file that can be run again: as written, after ``extends`` and ``--set``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import yaml

from sim.spec.document import Document
from sim.spec.scalars import resolve

_WIDTH = 96


def written(document: Document) -> dict[str, Any]:
    """The plain tree of a checked document, complete in itself.

    Files that it names are named from the folder of the top file, also where ``extends`` brought
    the name in from a file in another folder. ``x-…`` keys are left out.
    """
    root = document.folders.root
    places = {
        path: FilePath(os.path.relpath(file, root)).as_posix()
        for path, file in document.located.items()
    }
    return {key: _placed(value, (key,), places) for key, value in document.tree.items()}


def _placed(value: Any, path: tuple[str | int, ...], places: Mapping[Any, str]) -> Any:
    """A copy of a part of the tree, with the files in it named anew."""
    if isinstance(value, dict):
        return {key: _placed(item, (*path, key), places) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, (*path, i), places) for i, item in enumerate(value)]
    return places.get(path, value)


class _Dumper(yaml.SafeDumper):
    """Writes what ``sim.spec.loader`` reads as the same values: no aliases, YAML 1.2 scalars."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whether a value is written out each time it occurs."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Text, in quotes where our reader would take it for something else."""
    try:
        same = resolve(value) == value
    except ValueError:
        same = False
    style = None if same else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def yaml_of(tree: Mapping[str, Any]) -> str:
    """A plain tree as YAML that ``sim.spec.read`` reads as the same tree."""
    return yaml.dump(
        dict(tree),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=_WIDTH,
    )
