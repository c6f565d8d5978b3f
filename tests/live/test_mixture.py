"""Programs of many ingredients under the observer: some of the random ones of `scripts/soak --mixture`, and that it finds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.left_behind import left_after
from tests.ordinary import PYTHON
from tests.properties.mixture import Mixture, Way, read, run
from tests.recordings import PATCHED, environment_of_commands

LOSING = """
import sys
from observer.cli.main import main
from observer.recording.spool import Spool

append = Spool.append

def losing(spool, *fields):
    spool.lost += spool.count == 5
    return append(spool, *fields) if spool.count < 5 else 0

Spool.append = losing
sys.exit(main(sys.argv[1:]))
"""
PLAIN = Way(ordinary=False, all_calls=False, perf_denied=False)


@pytest.fixture(scope="module")
def mixture() -> Iterator[Mixture]:
    with tempfile.TemporaryDirectory(prefix="observer-mixture-") as name:
        yield Mixture(Path(name))


@pytest.fixture
def trace(mixture: Mixture) -> Iterator[Path]:
    yield mixture.folder / "trace"
    shutil.rmtree(mixture.folder / "trace", ignore_errors=True)


def user(way: Way) -> Way:
    if way.ordinary and (os.geteuid() != 0 or PYTHON is None):
        pytest.skip(
            "whoever runs the tests is an ordinary user already, or uid nobody may run no Python with the packages"
        )
    return way


@pytest.mark.parametrize("ordinary", [False, True], ids=["as started", "as nobody"])
@pytest.mark.parametrize(("seed", "perf_denied"), [(125, False), (129, True)], ids=["plain", "all calls, perf denied"])
def test_a_random_program_is_as_bare_and_explained(
    mixture: Mixture, trace: Path, seed: int, perf_denied: bool, ordinary: bool
) -> None:
    way = user(Way(ordinary=ordinary, all_calls=perf_denied, perf_denied=perf_denied))
    found = mixture.examine(mixture.command(seed, 12), way, trace)
    assert found.reasons == []
    assert min(found.seen["calls"], found.seen["processes"]) > 1


def test_a_program_that_differs_from_run_to_run_is_found(mixture: Mixture, trace: Path) -> None:
    found = mixture.examine(["sh", "-c", "echo $$; exit $(($$ % 2 + 3))"], PLAIN, trace)
    assert any(reason.startswith("output '") for reason in found.reasons)


def test_calls_that_a_program_tells_of_and_the_trace_lacks_are_found(mixture: Mixture, trace: Path) -> None:
    found = mixture.examine(["echo", "0 0 sum 0 marks 3"], PLAIN, trace)
    assert found.reasons == ["0 calls of malloc(10007), the program made 3"]
    assert found.seen["processes"] == 1


def test_a_lost_event_is_found(mixture: Mixture, trace: Path) -> None:
    words = [sys.executable, "-c", LOSING, "run", "-q", "--allow-loss", "-o", trace, "--", "true"]
    subprocess.run(words, check=True, cwd="/", env={**environment_of_commands(), **PATCHED})
    assert any("lost" in reason for reason in read(trace, "", Counter()))


def test_what_does_not_end_is_named_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEFT_BEHIND", f"{os.getpid()}")
    ran = run(["sh", "-c", "sleep 61 & sleep 67"], 0.3)
    assert ran.status is None
    assert sorted(ran.left.values()) == ["sh -c sleep 61 & sleep 67", "sleep 61", "sleep 67"]
    assert left_after(f"LEFT_BEHIND={os.getpid()}", 5) == {}


def test_who_is_left_is_seen_until_it_has_ended() -> None:
    variable = f"LEFT_BEHIND={os.getpid()}"
    with subprocess.Popen(["env", variable, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
        assert echo.stdin is not None
        assert echo.stdout is not None
        echo.stdin.write(b"here\n")
        echo.stdin.flush()
        assert echo.stdout.readline() == b"here\n"
        assert left_after(variable, 0.1) == {echo.pid: "cat"}
        echo.stdin.close()
        assert left_after(variable, 10) == {}
