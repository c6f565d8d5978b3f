"""An ordinary installation by pip, without the checkout, is whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def readme_lines() -> list[str]:
    """Return what the README says is to be typed to have the command everywhere."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("To have the command everywhere")[2]
    return re.findall(r"^    (.*)$", text.partition("\n## ")[0], re.MULTILINE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the virtual environment that the README's lines make for a user with an empty home, in a copy of the checkout."""
    home = tmp_path_factory.mktemp("home")
    unbuilt = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, home / "checkout", ignore=unbuilt)
    given = {"HOME": str(home), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "XDG_CONFIG_HOME": str(Path.home() / ".config")}
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(readme_lines())],
        cwd=home / "checkout",
        env={**os.environ, **given},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode and ("Could not find a version" in done.stderr or "No matching distribution" in done.stderr):
        pytest.skip("pip reaches no package index")
    assert done.returncode == 0, done.stdout + done.stderr
    return home / ".local" / "share" / "malloc-observer"


def test_the_last_of_the_readmes_lines_records_a_program(installed: Path) -> None:
    assert readme_lines()[-1].startswith("observer run")
    assert (installed.parents[2] / "checkout" / "ls.trace" / "meta.json").exists()


def ask(place: Path, code: str, folder: Path) -> str:
    """Return what the installed Python prints for *code*, far from the checkout."""
    done = subprocess.run(
        [str(place / "bin" / "python"), "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_command_works(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(installed / "bin" / "observer"), "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "0.1.0" in done.stdout or "observer" in done.stdout


def test_the_package_is_the_installed_one(installed: Path, tmp_path: Path) -> None:
    assert ask(installed, "import observer; print(observer.__file__)", tmp_path).startswith(str(installed))


def test_the_samples_come_along_as_sources(installed: Path, tmp_path: Path) -> None:
    folder = Path(ask(installed, "import observer; print(list(observer.__path__)[0])", tmp_path)) / "c_samples"
    sources = {
        path.name for path in (ROOT / "c_samples").iterdir() if path.suffix in (".c", ".h") or path.name == "Makefile"
    }
    assert sources == {path.name for path in folder.iterdir() if path.is_file()} & sources
    assert (folder / "story.c").read_text() == (ROOT / "c_samples" / "story.c").read_text()


def test_the_installed_observer_tells_the_story(installed: Path, build: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(installed / "bin" / "observer"), "run", "-o", str(tmp_path / "trace"), "--", str(build / "story")],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "fact page_size" in done.stdout
    assert "story.c:" in done.stderr


def test_the_installed_observer_writes_a_page(installed: Path, tmp_path: Path) -> None:
    trace, page = installed.parents[2] / "checkout" / "ls.trace", tmp_path / "ls.html"
    done = subprocess.run(
        [str(installed / "bin" / "observer"), "report", str(trace), "-o", str(page)],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--paper" in page.read_text(encoding="utf-8")
    assert "function showStrip" in page.read_text(encoding="utf-8")
