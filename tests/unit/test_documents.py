"""What the documents show works: the policy of CONTRIBUTING, the Python of the README."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import sim
from sim.cost import capital_of
from sim.engine.build import build
from sim.plan.kinds import load as load_plan
from sim.plan.least.question import load_question
from sim.spec.months import month_text
from sim.study.points import load_study
from tests.unit.place.lists import random_lists, write

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(document: str, language: str) -> list[str]:
    """The fenced examples of a document in one language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [body for kind, body in FENCE.findall(text) if kind == language]


def python(code: str, folder: Path) -> str:
    """Run code in a fresh interpreter at the root of the project, ``folder`` importable."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_policy_routes_requests(tmp_path: Path) -> None:
    policy, _ = blocks("CONTRIBUTING.md", "python")
    (tmp_path / "split_by_length.py").write_text(policy, encoding="utf-8")
    code = (
        "import split_by_length, sim\n"
        "routing = '{kind: split-by-length, longest: 1000}'\n"
        "scenario = sim.load_scenario('scenarios/quickstart.yaml', sets=[\n"
        "    'duration=20 s', 'warm_up=5 s', 'workload[chat].rate=40 /s',\n"
        "    'pools[chat].replicas=4', f'policies.routing={routing}'])\n"
        "rows = sim.run_scenario(scenario).tables['requests'].to_pylist()\n"
        "print(len(rows), *sorted({(r['replica'] == 3) == (r['input_tokens'] > 1000)\n"
        "                          for r in rows}))\n"
    )
    count, *split = python(code, tmp_path).split()
    assert int(count) > 400
    assert split == ["True"]


def test_the_example_placement_policy_places_pods(tmp_path: Path) -> None:
    _, policy = blocks("CONTRIBUTING.md", "python")
    (tmp_path / "my_policy.py").write_text(policy, encoding="utf-8")
    nodes, pods = write(tmp_path, *random_lists(2))
    arguments = ["place", "--nodes", str(nodes), "--pods", str(pods), "--seeds", "1..2", "--json"]
    arguments += ["--load", str(tmp_path / "my_policy.py"), "--policy", "balance,random"]
    code = f"import sys; sys.argv = {['rackplan', *arguments]!r}; from sim.cli import main; main()"
    found = json.loads(python(code, tmp_path))["policies"]
    left = {kind: found[kind]["unallocated_pct"]["mean"] for kind in found}
    assert 0.0 < left["balance"] < left["random"] < 100.0


def test_the_example_placement_scenario_is_sound(tmp_path: Path) -> None:
    shown, _ = blocks("docs/placement.md", "yaml")
    write(tmp_path, *random_lists(2))
    pods = tmp_path / "pods.csv"
    head, *rows = pods.read_text().splitlines()
    pods.write_text("\n".join([f"{head},tenant", *(f"{row},research" for row in rows)]))
    (tmp_path / "page.yaml").write_text(shown, encoding="utf-8")
    scenario = sim.load_scenario(tmp_path / "page.yaml")
    assert (scenario.name, scenario.seed) == ("gpu-cluster", 42)
    assert [line.points for line in scenario.comparisons] == [0.005]


def test_the_example_tenants_are_apart(tmp_path: Path) -> None:
    _, pools = blocks("docs/placement.md", "yaml")
    base = (ROOT / "tests/broken/common/base.yaml").read_text(encoding="utf-8")
    (tmp_path / "page.yaml").write_text(base.replace("pools:", "x-pools:") + pools)
    scenario = sim.load_scenario(tmp_path / "page.yaml")
    assert isinstance(scenario, sim.Scenario)
    racks: dict[str, set[int]] = {}
    for placed in build(scenario, 1).replicas:
        own = {int(scenario.site.node_rack[server]) for server, _ in placed.servers}
        racks.setdefault(scenario.pools[placed.pool].name, set()).update(own)
    assert racks == {"bank": {0}, "shop": {1}, "chat": {1}}


def test_the_example_power_policy_caps_a_row(tmp_path: Path) -> None:
    (policy,) = blocks("docs/control.md", "python")
    (tmp_path / "two_step.py").write_text(policy, encoding="utf-8")
    code = (
        "import two_step, sim\n"
        "power = '{kind: two-step, watch: utility, cap_at: 70 %, free_at: 50 %, clock: 79 %}'\n"
        "scenario = sim.load_scenario('scenarios/quickstart.yaml', sets=[\n"
        "    'duration=60 s', 'warm_up=5 s', 'workload[chat].rate=100 /s',\n"
        "    'actuation={clock: {delay: 2 s}}', f'policies.power={power}'])\n"
        "result = sim.run_scenario(scenario)\n"
        "rows = result.tables['decisions'].to_pylist()\n"
        "print(result.metrics['pools[chat].mean_clock'].value < 0.85,\n"
        "      {row['policy'] for row in rows if row['role'] == 'power'})"
    )
    assert python(code, tmp_path).split() == ["True", "{'two-step'}"]


def test_the_document_of_control_shows_the_defaults() -> None:
    (shown, *_) = blocks("docs/control.md", "yaml")
    quickstart = ROOT / "scenarios" / "quickstart.yaml"
    tree = yaml.safe_load(shown)
    polca = sim.load_scenario(quickstart, sets=["policies.power={kind: polca, watch: pdu}"])
    sets = [f"{key}={json.dumps(value)}" for key, value in tree.items() if key != "policies"]
    stated = sim.load_scenario(quickstart, sets=["policies.power={kind: polca, watch: pdu}", *sets])
    assert (stated.telemetry, stated.actuation) == (polca.telemetry, polca.actuation)


def test_the_examples_of_the_network_work(tmp_path: Path) -> None:
    kinds = [tree["fabric"] for block in blocks("docs/fabric.md", "yaml")
             for tree in [yaml.safe_load(block)] if "fabric" in tree]  # fmt: skip
    assert len(kinds) >= 2
    quickstart = ROOT / "scenarios" / "quickstart.yaml"
    for fabric in kinds:
        sim.load_scenario(quickstart, sets=[f"fabric={json.dumps(fabric)}"])
    (example,) = blocks("docs/fabric.md", "python")
    code = f"{example}\nprint('spine-4' in network.vertex_of, network.links)"
    absent, links = python(code, tmp_path).split()
    assert absent == "False"
    assert int(links) > 1000


def test_the_examples_of_flows_work(tmp_path: Path) -> None:
    listed, metered = blocks("docs/flows.md", "python")
    assert python(listed, tmp_path).split() == ["[2.", "3.]"]
    shown = metered.replace("network.close_window(4.0).saturated_s", "print(_.tolist())")
    shown = shown.replace("network.pop_metered(2.0)", "(first,) = network.pop_metered(2.0)")
    shown = shown.replace("print(_", "print(first[5:], network.close_window(4.0).saturated_s")
    assert python(shown, tmp_path).strip() == "(0, 2.0, 2) [3.0, 0.0]"


def test_the_pools_of_the_page_on_disaggregation_are_sound(tmp_path: Path) -> None:
    (shown,) = blocks("docs/disaggregation.md", "yaml")
    quickstart = ROOT / "scenarios" / "quickstart.yaml"
    tree = {"extends": quickstart.name, "expect": [], **yaml.safe_load(shown)}
    (tmp_path / quickstart.name).write_text(quickstart.read_text(encoding="utf-8"))
    (tmp_path / "page.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    pre, dec = sim.load_scenario(tmp_path / "page.yaml").pools
    assert pre.decode is not None
    assert pre.decode.pool == dec.name


def test_the_example_in_python_runs(tmp_path: Path) -> None:
    (example,) = blocks("README.md", "python")
    shorter = example.replace('sets=["', 'sets=["duration=20 s", "warm_up=5 s", "')
    assert shorter != example
    code = f"{shorter}\nprint(result.metrics['chat.ttft_p99'].value < 1.0, result.manifest['seed'])"
    assert python(code, tmp_path).split() == ["True", "2"]


def test_the_readme_shows_the_shipped_scenario() -> None:
    shipped = (ROOT / "scenarios" / "quickstart.yaml").read_text(encoding="utf-8")
    for shown in blocks("README.md", "yaml"):
        assert shown.strip() in shipped


def test_the_readme_shows_what_make_run_prints(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from sim.cli import main; main()"]
    done = subprocess.run(
        [*command, "run", str(ROOT / "scenarios" / "quickstart.yaml")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
    assert f"```\n{printed}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_study_checks(tmp_path: Path) -> None:
    study, drawn = blocks("docs/studies.md", "yaml")
    base = ROOT / "scenarios" / "quickstart.yaml"
    (tmp_path / base.name).write_text(base.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "study.yaml").write_text(study, encoding="utf-8")
    points = load_study(tmp_path / "study.yaml").points
    assert len(points) == 4 * 2 * 2
    assert points[-1].labels == (32, "least-outstanding-tokens", "a fifth more")
    (tmp_path / "drawn.yaml").write_text(drawn, encoding="utf-8")
    assert len(load_study(tmp_path / "drawn.yaml").points) == 64


def test_the_example_plan_checks(tmp_path: Path) -> None:
    (study,) = blocks("docs/plan.md", "yaml")
    base = ROOT / "scenarios" / "quickstart.yaml"
    (tmp_path / base.name).write_text(base.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "plan.yaml").write_text(study, encoding="utf-8")
    question = load_question(tmp_path / "plan.yaml")
    assert question.values == tuple(range(1, 33))
    assert [line.limit for line in question.objectives] == [0.01, 0.99]
    assert len(question.seeds) == 16


def test_the_examples_of_growth_check(tmp_path: Path) -> None:
    stated, history, until, build_out = blocks("docs/growth.md", "yaml")
    quickstart = ROOT / "scenarios" / "quickstart.yaml"
    (tmp_path / quickstart.name).write_text(quickstart.read_text(encoding="utf-8"))
    peaks = ROOT / "scenarios" / "studies" / "chat-peaks.csv"
    (tmp_path / peaks.name).write_text(peaks.read_text(encoding="utf-8"))
    growing = "rackplan: 1\nkind: study\nname: page\nquestion: {until: {capacity: 290 /s}}\n"
    starts = []
    for number, text in enumerate((growing + stated, growing + history, until, build_out)):
        file = tmp_path / f"page-{number}.yaml"
        file.write_text(text, encoding="utf-8")
        asked: Any = load_plan(file)
        starts.append(month_text(asked.forecast.start))
    assert starts == ["2026-12", "2026-11", "2026-12", "2026-12"]


def test_the_example_of_collectives_runs(tmp_path: Path) -> None:
    (example,) = blocks("docs/collectives.md", "python")
    domain, network, times = python(example, tmp_path).splitlines()
    assert domain.split()[:2] == ["domain", "16"]
    assert network.split() == ["network", "16", "125000000.0"]
    assert float(times.split()[0]) == float(times.split()[1])


def test_the_document_of_cost_states_prices_and_finds_a_front(tmp_path: Path) -> None:
    (shown,) = blocks("docs/cost.md", "yaml")
    (code,) = blocks("docs/cost.md", "python")
    quickstart = ROOT / "scenarios" / "quickstart.yaml"
    tree = {"extends": quickstart.name, **yaml.safe_load(shown)}
    (tmp_path / quickstart.name).write_text(quickstart.read_text(), encoding="utf-8")
    (tmp_path / "page.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    scenario = sim.load_scenario(tmp_path / "page.yaml")
    assert scenario.costs.nodes == {"dgx-h100": 250e3}
    assert capital_of(scenario).of("servers") == 16 * 250e3
    assert python(code, tmp_path) == "[0, 1]\n"
