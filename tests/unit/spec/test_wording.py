"""Messages: every habit leads somewhere, every kind of finding has words of ours."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sim.spec import read_text
from sim.spec.habits import HABITS, habit, normalise
from sim.spec.nodes import Path, show, show_path
from sim.spec.scenario import ScenarioSpec
from sim.spec.wording import known_keys, model_at, unknown_key


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("pools",), "pools"),
        (("pools", 0, "llm"), "pools[0].llm"),
        (("pools", 0, "tensor-parallel-size"), "pools[0].tensor-parallel-size"),
        (("a b", "c.d", 1), "['a b']['c.d'][1]"),
    ],
)
def test_paths(path: Path, text: str) -> None:
    assert show_path(path) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        ([], "a list"),
        ({"a": 1}, "a mapping"),
        (8, "8"),
        ("x", "'x'"),
    ],
)
def test_values(value: Any, text: str) -> None:
    assert show(value) == text


def test_long_values_are_cut() -> None:
    assert len(show("x" * 10_000)) < 50


@pytest.mark.parametrize(
    ("word", "normal"),
    [
        ("tensor-parallel-size", "tensor_parallel_size"),
        ("tensorParallelSize", "tensor_parallel_size"),
        ("nvidia.com/gpu", "nvidia_com_gpu"),
        ("--max-num-seqs", "max_num_seqs"),
        ("QPS", "qps"),
        ("apiVersion", "api_version"),
    ],
)
def test_words_are_met_in_any_spelling(word: str, normal: str) -> None:
    assert normalise(word) == normal


@pytest.mark.parametrize(
    ("section", "word"), [(section, word) for section, words in HABITS.items() for word in words]
)
def test_every_habit_is_a_word_nobody_reads_and_leads_to_words_that_are_read(
    section: str, word: str
) -> None:
    at: Path = (
        ()
        if not section
        else (section,)
        if section in ("site", "power", "price", "policies", "cooling", "fabric")
        else (section, 0)
    )
    assert normalise(word) == word
    assert word not in known_keys(at)
    for value in (8, [1], {"a": 1}, "x\ny"):
        hint = habit((*at, word), value)
        assert hint is not None
        assert "{value}" not in hint
        assert "{{" not in hint
        assert "\n" not in hint
        # 'key:' in quotes is a word of the language, wherever it is.
        for key in re.findall(r"'([a-z_]+): ?[^']*'", hint):
            assert key in _every_key() | {"rackplan", "precision"}, key


def _every_key() -> set[str]:
    paths: list[Path] = [
        (), ("site",), ("site", "halls", 0), ("site", "halls", 0, "rows", 0),
        ("site", "halls", 0, "rows", 0, "racks", 0), ("power",), ("power", "utility"),
        ("power", "pdus"), ("llms", 0), ("pools", 0), ("pools", 0, "policies"), ("workload", 0),
        ("workload", 0, "slo"), ("workload", 0, "trace"), ("workload", 0, "source"),
        ("policies",), ("price",), ("cooling",), ("cooling", "plant"), ("cooling", "weather"),
        ("cooling", "weather", "wet_bulb"), ("cooling", "cdus"), ("fabric",), ("fabric", "switch"),
    ]  # fmt: skip
    return {key for path in paths for key in known_keys(path)} | {
        "max_sequences", "max_batch_tokens", "memory_utilisation",
    }  # fmt: skip


def test_models_are_found_by_path() -> None:
    assert model_at(()) is ScenarioSpec
    assert "as" in known_keys(("llms", 0))
    assert "from" in known_keys(("workload", 0, "profile", 2))
    assert known_keys(("workload", 0, "rate")) == []
    assert known_keys(("nowhere",)) == []


def test_unknown_keys_without_a_habit_get_the_nearest() -> None:
    known = known_keys(("pools", 0))
    assert unknown_key(("pools", 0, "replica"), 1, known) == (
        "unknown key 'replica' (did you mean 'replicas'?)"
    )
    assert unknown_key(("pools", 0, "tensor-parallel"), 1, known) == (
        "unknown key 'tensor-parallel' (did you mean 'tensor_parallel'?)"
    )


_WRONG: list[Any] = [
    "~",
    "true",
    "[]",
    "[x]",
    "{}",
    "{zz: 1}",
    "-1",
    "1.5",
    "text",
    "'8'",
    "1 s",
    "9" * 18,
]


@pytest.mark.parametrize("key", sorted(set(ScenarioSpec.model_fields) - {"extends"}))
def test_no_value_at_the_top_gets_a_message_without_words(key: str) -> None:
    for value in _WRONG:
        check_wording(f"{key}: {value}\n")


@pytest.mark.parametrize("section", ["llms", "pools", "workload"])
def test_no_value_in_an_item_gets_a_message_without_words(section: str) -> None:
    for key in known_keys((section, 0)):
        for value in _WRONG:
            check_wording(f"{section}:\n  - {key}: {value}\n")


def check_wording(text: str) -> None:
    for problem in read_text(text, file="f.yaml").problems:
        assert "cannot stand here" not in problem.message
        assert not re.search(r"Spec\b|pydantic|Input should|validat", problem.message)
