"""The wheel carries everything: it installs by itself and its command runs a shipped scenario."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel of this tree.

    The libraries it depends on are lent from the environment of the tests; rackplan itself comes
    from the wheel alone.
    """
    work = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(work), str(ROOT)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = work.glob("rackplan-*.whl")
    venv.create(work / "env", with_pip=False)
    python = work / "env" / "bin" / "python"
    place = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    install = ["--python", str(python), "install", "--no-deps", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    (Path(place) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return work / "env" / "bin"


def rackplan(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command away from the source tree."""
    return subprocess.run(
        [str(installed / "rackplan"), *arguments], capture_output=True, text=True, cwd=cwd,
        check=False,
    )  # fmt: skip


def test_it_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import sim.paths as p; print(*(p.share(n) for n in ('data','scenarios','dashboard')))"
    found = subprocess.run(
        [str(installed / "python"), "-c", code], capture_output=True, text=True, check=True,
        cwd=tmp_path,
    ).stdout.split()  # fmt: skip
    assert all("_share" in place for place in found)
    assert (Path(found[2]) / "app.py").is_file()
    made = rackplan(installed, tmp_path, "new", "mine")
    assert made.returncode == 0, made.stderr
    run = rackplan(installed, tmp_path, "run", "mine.yaml", "--set", "duration=30 s",
                   "--set", "warm_up=5 s", "--json")  # fmt: skip
    assert run.returncode in (0, 1), run.stderr
    answer = json.loads(run.stdout)
    assert answer["outcome"] == "complete"
    assert answer["metrics"]["arrivals"]["value"] > 0


def test_its_catalog_is_there(installed: Path, tmp_path: Path) -> None:
    shown = rackplan(installed, tmp_path, "catalog", "gpu", "h100-sxm")
    assert shown.returncode == 0
    assert "700 W" in shown.stdout


def test_pytest_collects_scenarios_where_the_wheel_is_installed(
    installed: Path, tmp_path: Path
) -> None:
    project = tmp_path / "site-tests"
    shutil.copytree(ROOT / "examples" / "site-tests", project)
    command = [str(installed / "python"), "-m", "pytest", "-p", "no:cacheprovider"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=project, check=False)
    assert "5 passed" in found.stdout, found.stdout
    # A regression: the row loses most of its replicas.
    file = project / "chat.rackplan.yaml"
    file.write_text(file.read_text().replace("replicas: 4}", "replicas: 1}"))
    broken = subprocess.run(
        [*command, "-k", "goodput"], capture_output=True, text=True, cwd=project, check=False
    )
    assert broken.returncode == 1
    assert "missed: chat.goodput_fraction >= 99 %" in broken.stdout
