"""Scenarios edited in the browser: which files they may name, and what is said of wrong ones."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dashboard import drafts
from dashboard.drafts import FILE, look, messages, put
from dashboard.listing import list_results
from dashboard.load import read_view
from sim.errors import RackplanError, ScenarioError
from sim.paths import share
from sim.spec.loader import MOST_BYTES
from tests.dashboard.conftest import SCENARIO, damage
from tests.dashboard.test_command import ROOT

PLACEMENT = """\
rackplan: 1
kind: placement
name: p
nodes: x.csv
pods: x.csv
policies: {placement: {kind: fgd}}
"""


def _with(old: str, new: str) -> str:
    assert old in SCENARIO
    return SCENARIO.replace(old, new)


def _hours(unit: str) -> str:
    return f"{{file: 'PATH', column: x, unit: {unit}, start: 2023-07-12T14:00Z}}"


#: Every key that names a file: a scenario that names PATH there.
NAMING = {
    "extends": f"extends: 'PATH'\n{SCENARIO}",
    "workload[0].trace.file": _with(
        "source: {input_tokens: 256, output_tokens: 64}\n    rate: 20 /s", "trace: {file: 'PATH'}"
    ),
    "workload[0].profile": _with("rate: 20 /s", "rate: 20 /s\n    profile: {file: 'PATH'}"),
    "calibration.file": f"{SCENARIO}calibration: {{file: 'PATH'}}\n",
    "fabric.file": f"{SCENARIO}fabric: {{file: 'PATH'}}\n",
    "pools[0].measured": _with("replicas: 4}", "replicas: 4, measured: {file: 'PATH'}}"),
    "price.electricity.file": f"{SCENARIO}price: {{electricity: {_hours('USD/MWh')}}}\n",
    "carbon.file": f"{SCENARIO}carbon: {_hours('gCO2/kWh')}\n",
    "cooling.weather.wet_bulb.file": (
        f"{SCENARIO}cooling: {{plant: {{preset: modern}}, weather: {{wet_bulb: {_hours('C')}}}}}\n"
    ),
    "nodes": PLACEMENT.replace("nodes: x.csv", "nodes: 'PATH'"),
    "pods": PLACEMENT.replace("pods: x.csv", "pods: 'PATH'"),
}


def named(key: str, path: str) -> str:
    """The scenario in which ``key`` names ``path``."""
    return NAMING[key].replace("PATH", path)


OUTSIDE = ["../secret.csv", "../../../../etc/passwd", "/etc/passwd", "link.csv",
           "down/../../secret.csv", "folder/secret.csv"]  # fmt: skip
NOWHERE = ["~/.ssh/id_rsa", "file:///etc/passwd", "https://evil.example/x.csv", "$HOME/x.csv"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with links that lead out of it, as a job's folder might be made by an attacker."""
    inside = tmp_path / "root" / ".jobs" / "job-aaaaaaaa" / "files"
    inside.mkdir(parents=True)
    secret = inside.parent / "secret.csv"
    secret.write_text("secret")
    (inside / "link.csv").symlink_to(secret)
    (inside / "folder").symlink_to(inside.parent)
    (inside / "x.csv").write_text("x")
    return inside


@pytest.mark.parametrize("key", NAMING)
def test_no_key_names_a_file_outside(folder: Path, key: str) -> None:
    for path in OUTSIDE:
        problems = look(named(key, path), folder).problems
        assert any(
            problem.path.startswith(key) and "leads out of the scenario's folder" in problem.message
            for problem in problems
        ), (path, problems)
        assert not any("secret" in problem.message.replace(path, "") for problem in problems)


@pytest.mark.parametrize("key", NAMING)
def test_no_key_knows_homes_variables_or_addresses(folder: Path, key: str) -> None:
    for path in NOWHERE:
        problems = look(named(key, path), folder).problems
        assert any(problem.path.startswith(key) and "no such file" in problem.message
                   for problem in problems), (path, problems)  # fmt: skip


def test_every_place_that_locates_a_file_is_tested() -> None:
    """A new key that names a file has to be added above."""
    calls = [
        call
        for file in sorted((ROOT / "sim" / "check").glob("*.py"))
        for call in re.findall(r"located_file\(found, (.*?),", file.read_text())
        if file.name != "files.py"
    ]
    # calibration, fabric, hours (price, carbon, weather), measured, placement (nodes, pods),
    # traces, workloads (profile); `extends` is read by the loader.
    assert len(calls) == 7


def test_the_process_of_a_run_refuses_the_same(folder: Path) -> None:
    """`rackplan check` in the folder of a job, as `rackplan run` is started there."""
    files = []
    for place, key in enumerate(NAMING):
        files.append(f"s{place}.yaml")
        (folder / files[-1]).write_text(named(key, OUTSIDE[place % len(OUTSIDE)]))
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from sim.cli import main; main()", "check", *files],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    for file, key in zip(files, NAMING, strict=True):
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"{file}:")]
        assert any(f": {key}" in line and "leads out of" in line for line in lines), (key, lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:os.system ['id']\n", "tags such as"),
        ("name: !!python/name:os.system\n", "tags such as '!!python/name:os.system' are not"),
        ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)),
         "more than 50,000 values once aliases are expanded"),
        ("a: " + "[" * 5000, "nested deeper than 32 levels"),
        ("a: &a [*a]\n", "stands inside its own anchor"),
        ("x" * (10 << 20), f"the most a scenario may have is {MOST_BYTES:,}"),
        ("x: \0", "U+0000 is not allowed"),
        ("", "the file is empty"),
        ("kind: study\n", "this is a study of many runs"),
        ("--- 1\n--- 2\n", "a second document begins here"),
        (SCENARIO.replace("count: 1}", "count: 10000000}"), "GPUs"),
        ("rackplan: 1\nname: ![x](http://evil.example/p.png)\n", "tags such as"),
    ],
    ids=["apply", "tag", "aliases", "deep", "circle", "10 MB", "nul", "empty", "study", "two",
         "huge site", "beacon"],
)  # fmt: skip
def test_crafted_text_is_refused_quickly_and_in_words(
    tmp_path: Path, text: str, message: str
) -> None:
    start = time.process_time()
    problems = look(text, tmp_path).problems
    assert any(message in problem.message for problem in problems), problems
    assert len(messages(text, problems)) < 20_000
    assert time.process_time() - start < 30.0  # not an hour: what takes long is a defect


def test_all_problems_are_shown_with_their_lines_and_carets(tmp_path: Path) -> None:
    text = SCENARIO.replace("rate: 20 /s", "rate: 20").replace("replicas: 4", "replicas: four")
    text = text.replace("utility:", "utilty:")
    problems = look(text, tmp_path).problems
    assert len(problems) == 3
    shown = messages(text, problems).splitlines()
    for problem in problems:
        line = text.splitlines()[problem.mark.line - 1]
        (place,) = (
            i for i, one in enumerate(shown) if one.startswith(f"{problem.mark.line:>4} | ")
        )
        caret = shown[place + 1].index("^")
        start = line.index(shown[place][7:])
        assert caret - 7 + start == problem.mark.column - 1
    assert sum(one.startswith(f"{FILE}:") for one in shown) == 3


def test_many_problems_are_counted(tmp_path: Path) -> None:
    text = "".join(f"k{i}: 1\n" for i in range(100))
    assert messages(text, look(text, tmp_path).problems).splitlines()[-1].startswith("and ")


def test_files_are_copied_beside_it(tmp_path: Path) -> None:
    start = drafts.of_file(share("scenarios"), "polca-surge.yaml")
    checked = look(start.text, start.folder)
    assert checked.scenario is not None
    assert set(checked.files) == {"polca-row.yaml", "polca-day.csv"}
    name = put(start.text, checked, tmp_path / "files")
    assert {file.name for file in (tmp_path / "files").iterdir()} == {name, *checked.files}
    again = look((tmp_path / "files" / name).read_text(), tmp_path / "files")
    assert again.scenario is not None
    assert again.scenario.resolved == checked.scenario.resolved


def test_a_file_of_the_same_name_does_not_take_the_scenarios_place(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(SCENARIO)
    text = f"extends: {FILE}\nduration: 20 s\n"
    checked = look(text, tmp_path)
    assert checked.problems == ()
    assert put(text, checked, tmp_path / "files") == f"_{FILE}"
    assert (tmp_path / "files" / FILE).read_text() == SCENARIO


def test_too_much_to_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = drafts.of_file(share("scenarios"), "cooling.yaml")
    checked = look(start.text, start.folder)
    monkeypatch.setattr(drafts, "MOST_COPIED", 10)
    with pytest.raises(RackplanError, match="run it on the command line"):
        put(start.text, checked, tmp_path / "files")


def test_only_real_files_under_the_root_are_offered(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    (tmp_path / "link.yaml").symlink_to("/etc/passwd")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "![x](http:evil).yaml").write_text("")
    assert drafts.files_under(tmp_path) == ("mine.yaml",)
    with pytest.raises(ScenarioError, match="leads out"):
        drafts.of_file(tmp_path, "link.yaml")


def test_a_run_starts_from_what_was_written(made: Path) -> None:
    view = read_view(list_results(made), "over-budget")
    start = drafts.of_run(view, made)
    assert start.seed == 0
    checked = look(start.text, start.folder)
    assert checked.scenario is not None
    assert checked.scenario.resolved == view.manifest["resolved"]
    assert "budget: 15 kW" in start.text  # it was set on the command line


def test_a_run_that_kept_nothing_is_told(runs: Path) -> None:
    damage(runs, lambda manifest: manifest.pop("written"))
    view = read_view(list_results(runs), "complete")
    with pytest.raises(RackplanError, match="did not keep the scenario as it was written"):
        drafts.of_run(view, runs)


def test_checking_loads_no_engine() -> None:
    """Of all kinds: serving, with files and a network, and a placement."""
    code = (
        "import sys\nfrom dashboard import drafts\nfrom sim.paths import share\n"
        "for name in ('cooling', 'kv-placement', 'polca-surge', 'gpu-cluster'):\n"
        "    start = drafts.of_file(share('scenarios'), name + '.yaml')\n"
        "    assert not drafts.look(start.text, start.folder).problems\n"
        "print(sorted({'numba', 'simpy', 'cupy', 'sim.engine'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
