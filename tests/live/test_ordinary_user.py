"""The main job as an ordinary user (uid nobody): the same calls and system calls, and what is not visible said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import needs_fault_events
from tests.ordinary import NO_HOME, PREFIX, PYTHON, open_to_everyone
from tests.recordings import Recorded

pytestmark = pytest.mark.skipif(PYTHON is None, reason="uid nobody may run no Python that has the packages")

SAME_PLACES = ("-q", "--aslr", "off")
"""Where a library wants more alignment than a page has, the loader gives back none, one or both ends of what it mapped."""


@pytest.fixture
def run_as_nobody(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recorded]:
    folder = tmp_path_factory.mktemp("nobody")
    open_to_everyone(folder)

    def run(*command: str, options: tuple[str, ...] = ("-q",)) -> Recorded:
        assert PYTHON is not None
        python, path = PYTHON
        trace = folder / f"trace{len(list(folder.iterdir()))}"
        words = [
            *PREFIX,
            "env",
            f"PYTHONPATH={path}",
            NO_HOME,
            python,
            "-m",
            "observer",
            "run",
            "-o",
            str(trace),
        ]
        done = subprocess.run(
            [*words, *options, "--", *command],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
            cwd="/",
        )
        return Recorded(trace, done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def open_sample(build: Path, sample: Callable[[str], str]) -> Callable[[str], str]:
    """Return a sample's path that everyone may reach."""
    for place in (build, *list(build.parents)[:2]):
        if os.geteuid() == 0 and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o055)
    return sample


@pytest.mark.parametrize(
    "name", ["story", "threads", "fork_cow", "exec_self", "small_blocks", "family-static", "crash"]
)
def test_calls_and_the_ledger_are_the_same(
    name: str,
    run_as_nobody: Callable[..., Recorded],
    open_sample: Callable[[str], str],
    recorded: Callable[..., Recorded],
) -> None:
    mine = run_as_nobody(open_sample(name), options=SAME_PLACES)
    mine.assert_balanced()
    roots = recorded(open_sample(name), options=SAME_PLACES)
    assert [call.op for call in mine.calls if call.origin == "program"] == [
        call.op for call in roots.calls if call.origin == "program"
    ] or name == "threads"
    assert len(mine.syscalls) == len(roots.syscalls) or name == "threads"


@needs_fault_events
def test_faults_inside_the_kernel_are_counted_where_they_cannot_be_seen(
    run_as_nobody: Callable[..., Recorded], open_sample: Callable[[str], str]
) -> None:
    mine = run_as_nobody(open_sample("read_fresh"))
    line = next(line for line in mine.trace.meta.ledger if line.identity.startswith("page faults"))
    if line.verdict == "COMPLETE":
        pytest.skip("this kernel shows kernel-mode faults to everyone")
    assert sum(part.count for part in line.excluded) >= int(mine.facts["faults_kernel"])
    assert line.unexplained == 0


def test_page_frames_are_said_to_be_invisible(
    run_as_nobody: Callable[..., Recorded], open_sample: Callable[[str], str]
) -> None:
    mine = run_as_nobody(open_sample("story"))
    assert {fault.frame for fault in mine.faults} == {None}
    assert "CAP_SYS_ADMIN" in mine.trace.meta.how["fault.frame"]


@pytest.mark.parametrize("name", ["privileged", "forbidden", "gates", "files", "exec_self"])
def test_refusals_gates_and_arguments_are_the_same(
    name: str,
    run_as_nobody: Callable[..., Recorded],
    open_sample: Callable[[str], str],
    recorded: Callable[..., Recorded],
) -> None:
    mine = run_as_nobody(open_sample(name), options=(*SAME_PLACES, "-e", "trace=all"))
    mine.assert_balanced()
    roots = recorded(open_sample(name), options=(*SAME_PLACES, "-e", "trace=all"))
    assert [(event.signal, event.code, event.exception, event.reason, event.access) for event in mine.signals] == [
        (event.signal, event.code, event.exception, event.reason, event.access) for event in roots.signals
    ]
    # Tasks that run side by side are told in the order things happened.
    assert sorted((call.name, call.gate, call.errno or 0) for call in mine.syscalls) == sorted(
        (call.name, call.gate, call.errno or 0) for call in roots.syscalls
    )
    paths = [call.decoded[0] for call in mine.syscalls if call.name == "execve" and call.decoded]
    assert sorted(paths) == sorted(call.decoded[0] for call in roots.syscalls if call.name == "execve" and call.decoded)
    assert len(paths) == (5 if name == "exec_self" else 0)


def test_the_kernels_side_is_not_visible_and_the_rest_is_told_as_ever(
    run_as_nobody: Callable[..., Recorded], sample: Callable[[str], str]
) -> None:
    asked = run_as_nobody(sample("first_touch"), options=("-q", "-e", "kernel"))
    plain = run_as_nobody(sample("first_touch"))
    assert (asked.status, plain.status) == (0, 0), asked.stderr
    assert [fault.kernel for fault in asked.faults] == [None] * len(asked.faults)
    (line,) = (line for line in asked.trace.meta.ledger if line.identity.startswith("kernel's own events"))
    assert line.verdict == "UNVERIFIABLE"
    assert line.note.startswith("cannot see the kernel's side: ")
    assert asked.trace.meta.how["kernel"] == f"not observed, because {line.note}"
    assert "kernel" not in plain.trace.meta.how
    rest = [line.identity for line in asked.trace.meta.ledger if not line.identity.startswith("kernel's own events")]
    assert rest == [line.identity for line in plain.trace.meta.ledger]
    assert [call.op for call in asked.calls] == [call.op for call in plain.calls]
    assert [call.name for call in asked.syscalls] == [call.name for call in plain.syscalls]
