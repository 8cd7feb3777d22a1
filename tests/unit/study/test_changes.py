"""The diff of two scenarios by path."""

from __future__ import annotations

from sim.study.changes import ABSENT, Change, changes


def test_names_in_lists_make_paths() -> None:
    a = {"pools": [{"name": "chat", "replicas": 2, "gpu": None}, {"name": "old", "replicas": 1}]}
    b = {"pools": [{"name": "new", "replicas": 1}, {"name": "chat", "replicas": 3, "gpu": None}]}
    assert list(changes(a, b)) == [
        Change("pools[chat].replicas", 2, 3),
        Change("pools[old]", {"name": "old", "replicas": 1}, ABSENT),
        Change("pools[new]", ABSENT, {"name": "new", "replicas": 1}),
    ]


def test_other_lists_go_by_position_and_types_count() -> None:
    a = {"x": [[1, 2], [3, 4]], "flag": True, "same": {"y": [1]}, "kind": {"a": 1}}
    b = {"x": [[1, 5], [3, 4], [6]], "flag": 1, "same": {"y": [1]}, "kind": 7}
    assert list(changes(a, b)) == [
        Change("x[0][1]", 2, 5),
        Change("x[2]", ABSENT, [6]),
        Change("flag", True, 1),
        Change("kind", {"a": 1}, 7),
    ]
    assert list(changes(a, a)) == []
