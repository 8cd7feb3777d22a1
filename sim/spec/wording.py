"""pydantic's findings in our words, each at its place in the file."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sim.errors import Problem, did_you_mean
from sim.spec.habits import habit
from sim.spec.kinds import FOREIGN, SERVING
from sim.spec.nodes import Node, Path, shorten, show, show_path
from sim.spec.scenario import ScenarioSpec

#: A message longer than this is cut.
LONGEST = 400


def problems_of(
    error: ValidationError, root: Node, kind: str = SERVING
) -> Iterator[tuple[Path, Problem]]:
    """Each finding as (path, problem); ``kind``: of the scenario."""
    for detail in error.errors(include_url=False):
        path = _path(tuple(detail["loc"]), root)
        message = shorten(_message(detail, path, kind), LONGEST)
        unknown = detail["type"] == "extra_forbidden"
        yield path, Problem(root.mark_of(path, key=unknown), show_path(path), message)


def without_echoes(findings: list[tuple[Path, Problem]]) -> list[tuple[Path, Problem]]:
    """Leave out that a key is missing where an unknown key beside it is told to become it."""
    told: dict[Path, str] = {}
    for path, problem in findings:
        if problem.message.startswith("unknown key"):
            told[path[:-1]] = told.get(path[:-1], "") + problem.message

    def echo(path: Path, problem: Problem) -> bool:
        beside = told.get(path[:-1], "") if problem.message.startswith("missing") else ""
        return f"'{path[-1]}:" in beside or f"'{path[-1]}'?" in beside

    return [(path, problem) for path, problem in findings if not echo(path, problem)]


def _path(loc: Path, root: Node) -> Path:
    """``loc`` without the part that a shorthand added (``record.level`` of ``record: ful``)."""
    parent = root.at(loc[:-1])
    if parent is not None and not isinstance(parent.value, (dict, tuple)):
        return loc[:-1]
    return loc


def _message(detail: ErrorDetails, path: Path, kind: str) -> str:
    value, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "rackplan":
            return str(context["message"])
        case "missing":
            return _missing(path)
        case "extra_forbidden":
            return unknown_key(path, value, known_keys(path[:-1], kind))
        case "int_type" | "int_from_float" | "int_parsing":
            return whole(value)
        case "greater_than_equal":
            return f"must be at least {context['ge']:,}, not {show(value)}"
        case "less_than_equal":
            return f"must be at most {context['le']:,}, not {show(value)}"
        case "string_type":
            return f"expected text, not {show(value)}{_number_of_gpus(path, value)}"
        case "bool_type":
            return f"expected true or false, not {show(value)}"
        case "too_short":
            return "an empty list says nothing: name at least one"
        case "tuple_type" | "list_type":
            return f"expected a list (in [ ], or a line with '- ' for each), not {show(value)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"expected a mapping (key: value), not {show(value)}{_wrapped(path, value)}"
    return f"{show(value)} cannot stand here"


def _missing(path: Path) -> str:
    model = model_at(path[:-1])
    about = next((f.description for key, f in _fields(model) if key == path[-1]), None)
    return f"missing ({about})" if about else "missing"


def _wrapped(path: Path, value: Any) -> str:
    """``; write '{kind: random}'`` for a lone word where a mapping is due."""
    key = next((key for key in ("kind", "name", "file", "after") if key in known_keys(path)), None)
    if not isinstance(value, str) or key is None:
        return ""
    return f"; write '{{{key}: {shorten(value, 30)}}}'"


def _number_of_gpus(path: Path, value: Any) -> str:
    if path[-1] != "gpu" or type(value) is not int:
        return ""
    return f" (the type of GPU; for how many a replica takes write 'tensor_parallel: {value}')"


def whole(value: Any) -> str:
    """The message for a value where a whole number is due."""
    if isinstance(value, str) and value.strip().isdecimal() and value.isascii():
        return f"expected a whole number: write {shorten(value.strip())} without quotes"
    if isinstance(value, float) and value.is_integer():
        return f"expected a whole number: write {int(value)}"
    return f"expected a whole number, not {show(value)}"


def unknown_key(path: Path, value: Any, known: list[str]) -> str:
    """The message for a key that nothing reads, with our word for it if we know the habit."""
    key = str(path[-1])
    hint = habit(path, value)
    if hint is not None:
        return f"unknown key {key!r}: {hint}"
    if value is None and key[0].isdecimal():
        return f"unknown key {key!r}: a comma parts entries here; a number has a decimal point"
    if len(path) > 1 and key.startswith("x-"):
        return f"unknown key {key!r}: keys of your own stand at the top of the file only"
    normal = key.replace("-", "_")
    if normal in known and normal != key:
        return f"unknown key {key!r} (did you mean {normal!r}?)"
    home = _home(path)
    if home is not None:
        return f"unknown key {key!r} (it belongs to {home})"
    return f"unknown key {key!r}{did_you_mean(key, known)}"


def _home(path: Path) -> str | None:
    """The mapping around the one at hand that has this key: a rate written inside ``trace``."""
    if path[-1] in ("kind", "name", "path"):  # words of many mappings
        return None
    around = (path[:end] for end in range(len(path) - 2, -1, -1))
    home = next((outer for outer in around if path[-1] in known_keys(outer)), None)
    return None if home is None else show_path(home) or "the top of the file"


def known_keys(path: Path, kind: str = SERVING) -> list[str]:
    """The keys that the mapping at ``path`` may have in a scenario of this kind."""
    keys = [key for key, _ in _fields(model_at(path))]
    return [key for key in keys if path or key not in FOREIGN[kind]]


def _fields(model: type[BaseModel] | None) -> list[tuple[str, Any]]:
    if model is None:
        return []
    return [(field.alias or name, field) for name, field in model.model_fields.items()]


def model_at(path: Path) -> type[BaseModel] | None:
    """The model that reads the mapping at ``path``, or None where none does."""
    current: Any = ScenarioSpec
    for part in path:
        current = _model(current) if isinstance(part, str) else _item(current)
        if isinstance(part, str):
            annotation = next((f.annotation for key, f in _fields(current) if key == part), None)
            if annotation is None:
                return None
            current = annotation
    return _model(current)


def _bare(annotation: Any) -> Any:
    """An annotation without ``Annotated`` and ``| None`` around it."""
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif origin in (types.UnionType, typing.Union):
            rest = [a for a in typing.get_args(annotation) if a is not types.NoneType]
            annotation = rest[0]
        else:
            return annotation


def _model(annotation: Any) -> type[BaseModel] | None:
    bare = _bare(annotation)
    return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None


def _item(annotation: Any) -> Any:
    arguments = typing.get_args(_bare(annotation))
    return arguments[0] if arguments else None
