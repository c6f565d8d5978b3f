"""Page faults equal to the kernel's own counters, read by another program in the same run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest

from tests.recordings import Recorded, run_observer
from tests.witness.programs import REAL, SAMPLES, real_command


def assert_equal_to_rusage(command: list[str], tools: Path, folder: Path) -> None:
    output = folder / "rusage.txt"
    recorded = run_observer([str(tools / "rusage"), str(output), *command], folder / "trace", options=("-q",))
    recorded.assert_balanced()
    child, counted = (int(word) for word in output.read_text().split())
    parent = recorded.trace.meta.ends[-1].pid
    assert parent != child
    seen = sum(1 for fault in recorded.faults if fault.pid != parent)
    excluded = [
        part.count
        for line in recorded.trace.meta.ledger
        if line.identity.startswith("page faults")
        for part in line.excluded
    ]
    if recorded.trace.meta.how["faults in kernel mode"] == "exact":
        assert seen + sum(excluded) == counted, f"unexplained: {counted - seen - sum(excluded)}"
    else:
        # What is hidden is counted for the whole tree, the waiting parent included.
        assert seen <= counted <= seen + sum(excluded)


@pytest.mark.parametrize("name", SAMPLES)
def test_faults_of_a_sample_equal_getrusage(
    name: str, sample: Callable[[str], str], tools: Path, tmp_path: Path
) -> None:
    assert_equal_to_rusage([sample(name)], tools, tmp_path)


@pytest.mark.parametrize("name", REAL)
def test_faults_of_a_real_program_equal_getrusage(name: str, tools: Path, tmp_path: Path) -> None:
    if which(name) is None:
        pytest.skip(f"{name} is not installed")
    assert_equal_to_rusage(real_command(name, tmp_path), tools, tmp_path)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_ledger_of_a_sample_balances(
    name: str, sample: Callable[[str], str], recorded: Callable[..., Recorded]
) -> None:
    recorded(sample(name), options=("-q",)).assert_balanced()
