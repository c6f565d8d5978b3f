"""Memory system calls equal to strace -f's: names, order in each task, sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest

from tests.conftest import needs
from tests.recordings import run_observer
from tests.witness.programs import REAL, SAMPLES, real_command
from tests.witness.straced import Entry, arenas_joined, observed_memory_calls, strace_memory_calls

pytestmark = needs("strace")

# Which arena a thread of these gets depends on who ends first; another run may differ in one mapping.
SCHEDULED = {"sort": 8}


def assert_equal_to_strace(command: list[str], folder: Path, tries: int) -> None:
    for attempt in range(tries):
        # Without randomisation: how gcc aligns its own pools depends on the addresses it is given.
        wanted = in_order(strace_memory_calls(command, folder))
        assert wanted, "strace saw nothing: the comparison would prove nothing"
        recorded = run_observer(command, folder / f"trace{attempt}", options=("-q", "--aslr", "off"))
        seen = in_order(observed_memory_calls(recorded.syscalls))
        if seen == wanted:
            return
    assert seen == wanted


def in_order(tasks: list[list[Entry]]) -> list[list[Entry]]:
    """Return the tasks' lists sorted, since tasks run side by side; inside a task the order counts."""
    return sorted(arenas_joined(entries) for entries in tasks)


@pytest.mark.parametrize("name", SAMPLES)
def test_memory_calls_of_a_sample_equal_straces(name: str, sample: Callable[[str], str], tmp_path: Path) -> None:
    assert_equal_to_strace([sample(name)], tmp_path, tries=1)


@pytest.mark.parametrize("name", REAL)
def test_memory_calls_of_a_real_program_equal_straces(name: str, tmp_path: Path) -> None:
    if which(name) is None:
        pytest.skip(f"{name} is not installed")
    assert_equal_to_strace(real_command(name, tmp_path), tmp_path, tries=SCHEDULED.get(name, 1))
