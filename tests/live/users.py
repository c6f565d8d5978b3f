"""Runs of the observer as whoever runs the tests and, if that is root, as an ordinary user, too."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ordinary import NO_HOME, PREFIX, PYTHON
from tests.recordings import Recorded, run_observer

TRIALS = Path(__file__).resolve().parent / "trials"

Observe = Callable[..., Recorded]
"""Runs `observer run OPTIONS -- COMMAND`; `before` is a command that the observer itself is started by."""


@pytest.fixture
def workshop() -> Iterator[Path]:
    """Yield a folder in which everyone may write and run programs; pytest's own are closed again by every new run."""
    with tempfile.TemporaryDirectory(prefix="observer-workshop-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.fixture(params=["as started", "as nobody"])
def observe(request: pytest.FixtureRequest, workshop: Path) -> Observe:
    if request.param == "as nobody" and os.geteuid() != 0:
        pytest.skip("whoever runs the tests is an ordinary user already")
    folder = workshop / "traces"
    folder.mkdir()
    folder.chmod(0o777)
    run = _as_started if request.param == "as started" else _as_nobody

    def observe(*command: str, options: tuple[str, ...] = ("-q",), before: tuple[str, ...] = ()) -> Recorded:
        return run(folder / f"trace{len(list(folder.iterdir()))}", command, options, before)

    return observe


def _as_started(trace: Path, command: tuple[str, ...], options: tuple[str, ...], before: tuple[str, ...]) -> Recorded:
    return run_observer(command, trace, options=options, prefix=before, cwd=Path("/"))


def _as_nobody(trace: Path, command: tuple[str, ...], options: tuple[str, ...], before: tuple[str, ...]) -> Recorded:
    if PYTHON is None:
        pytest.skip("uid nobody may run no Python that has the packages")
    python, path = PYTHON
    words = [*PREFIX, *before, "env", f"PYTHONPATH={path}", NO_HOME, python, "-m", "observer", "run"]
    done = subprocess.run(
        [*words, "-o", str(trace), *options, "--", *command],
        capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False, cwd="/",
    )  # fmt: skip
    return Recorded(trace, done.returncode, done.stdout, done.stderr)


def compiled(folder: Path, name: str, *flags: str, source: str = "") -> str:
    """Compile trials/SOURCE.c or .cc (NAME's, if none is given) to *folder*/NAME; return its path."""
    target, code = folder / name, TRIALS / f"{source or name}.c"
    compiler, only_c = "gcc", ["-Wno-error=builtin-declaration-mismatch"]
    if not code.exists():
        compiler, code, only_c = "g++", code.with_suffix(".cc"), []
        if shutil.which(compiler) is None:
            pytest.skip("g++ is not installed")
    words = [compiler, "-O0", "-g", "-Wall", "-Werror", *only_c, "-fno-builtin", str(code)]
    subprocess.run([*words, "-o", str(target), *flags], check=True)
    return str(target)


def line_of(source: str, marker: str = "/* here */") -> int:
    """Return the number of the line of trials/SOURCE.c that has *marker*."""
    lines = (TRIALS / f"{source}.c").read_text(encoding="ascii").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if marker in line)
