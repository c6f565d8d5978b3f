"""Built samples, recorded traces, and the reasons for every skip in one place."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from observer.instruments.bcc import why_not
from observer.instruments.kernel_side import formats, refusal
from observer.linux.features import programs_read_thread_base
from observer.linux.perf import PAGE_FAULTS, open_counter, open_tracepoint
from observer.linux.timestamps import counts_by_time_stamp
from tests.recordings import Recorded, run_observer

ROOT = Path(__file__).resolve().parent.parent
LONG = frozenset({
    "live/test_allocators.py", "live/test_broken_heaps.py", "live/test_ending.py", "live/test_fleet.py",
    "live/test_hostile_hand_ins.py", "live/test_labs.py", "live/test_labs_proved.py", "live/test_snapshots.py",
    "live/test_trials_allocators.py", "live/test_trials_calls.py", "live/test_trials_folder.py",
    "live/test_trials_images.py", "live/test_trials_ledger.py", "live/test_trials_targets.py", "witness/test_i386.py",
    "witness/test_recorders.py",
})  # fmt: skip
"""The files that take longest, more than half of the time of all."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the files that take longest."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests") and str(item.path.relative_to(ROOT / "tests")) in LONG:
            item.add_marker(pytest.mark.long)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the skips by reason at the end, so that none hides."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons: dict[str, int] = {}
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason] = reasons.get(reason, 0) + 1
    terminalreporter.write_line(f"skipped tests: {len(skipped)}")
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"  {count} x {reason}")


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of built samples; OBSERVER_SAMPLES names one that is built already."""
    given = os.environ.get("OBSERVER_SAMPLES")
    if given and (Path(given) / "story").exists():
        return Path(given)
    if not shutil.which("gcc") and not shutil.which("cc"):
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run(["make", "-s", "-j2", "-C", str(ROOT / "c_samples"), f"BUILD={folder}"], check=True)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def sample(build: Path) -> Callable[[str], str]:
    """Return the path of a sample by name."""
    return lambda name: str(build / name)


I386_LOADER = "/lib/ld-linux.so.2"
_ELSEWHERE = {"-musl": "musl-gcc", "-i386": "i686-linux-gnu-gcc", "-arm64": "aarch64-linux-gnu-gcc"}
"""What a sample with such an ending is compiled with."""


@pytest.fixture(scope="session")
def variant(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the path of a sample built for another C library or processor, by its name in the Makefile."""
    folder = tmp_path_factory.mktemp("variants")
    folder.chmod(0o755)

    def build(name: str) -> str:
        ending = next((ending for ending in _ELSEWHERE if ending in name), None)
        if ending is not None and not (folder / name).exists():
            compiler = [_ELSEWHERE[ending]]
            if ending == "-i386" and shutil.which(compiler[0]) is None:
                compiler = ["cc", "-m32"]
            why = _why_not(compiler, folder / "probe", runs=ending != "-arm64")
            if ending == "-i386" and not name.endswith("-static") and not os.path.exists(I386_LOADER):
                why = why or f"{I386_LOADER} is not there (libc6-i386)"
            if why:
                pytest.skip(why)
        if not (folder / name).exists():
            subprocess.run(["make", "-s", "-C", str(ROOT / "c_samples"), f"BUILD={folder}", name], check=True)
        return str(folder / name)

    return build


def _why_not(compiler: list[str], probe: Path, *, runs: bool) -> str:
    """Return why no static program can be made, or run here; empty if it can."""
    program = "#include <stdlib.h>\nint main(void) { return 0; }\n"
    command = [*compiler, "-static", "-x", "c", "-o", str(probe), "-"]
    if (
        shutil.which(compiler[0]) is None
        or subprocess.run(command, input=program, text=True, capture_output=True, check=False).returncode
    ):
        return f"{' '.join(compiler)} is not installed, or has no C library"
    try:
        if runs:
            subprocess.run([probe], check=True)
    except OSError as error:
        return f"what {' '.join(compiler)} makes does not run here: {error.strerror}"
    return ""


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tests' own witnesses: counter.so, counter_next.so, rusage."""
    folder = tmp_path_factory.mktemp("tools")
    here = ROOT / "tests" / "witness"
    common = ["gcc", "-O2", "-Wall"]
    for name, options in (("counter.so", []), ("counter_next.so", ["-DNEXT"])):
        library = [*common, "-fPIC", "-shared", "-fno-builtin", *options, "-o", str(folder / name)]
        subprocess.run([*library, str(here / "counter.c")], check=True)
    subprocess.run([*common, "-o", str(folder / "rusage"), str(here / "rusage.c")], check=True)
    return folder


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recorded]:
    """Return a function that records a command once a session and gives its trace."""
    known: dict[tuple[str, ...], Recorded] = {}

    def record(*command: str, options: tuple[str, ...] = ()) -> Recorded:
        key = (*options, "--", *command)
        if key not in known:
            known[key] = run_observer(command, tmp_path_factory.mktemp("trace") / "trace", options=options)
        return known[key]

    return record


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where *program* is not installed."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def _fault_events_refused() -> str:
    """Return why the kernel gives this user no page-fault events; empty if it does."""
    try:
        open_counter(PAGE_FAULTS, 0, -1, kernel=False).close()
    except OSError as error:
        return f"no page-fault events for this user: perf_event_open: {error.strerror}"
    return ""


FAULT_EVENTS_REFUSED = _fault_events_refused()
needs_fault_events = pytest.mark.skipif(bool(FAULT_EVENTS_REFUSED), reason=FAULT_EVENTS_REFUSED or "they are there")
"""Skip where faults are counted only, between two stops."""


needs_inline = pytest.mark.skipif(
    not (programs_read_thread_base() and counts_by_time_stamp()),
    reason="no calls can be recorded inside programs here (FSGSBASE, TSC)",
)
by_recorder = pytest.mark.parametrize("recorder", ["breakpoint", pytest.param("inline", marks=needs_inline)])


def _kernel_side_refused() -> str:
    """Return why the kernel's tracepoints are not given to this user; empty if they are."""
    try:
        for point in formats().values():
            open_tracepoint(point.number, 0, -1).close()
    except OSError as error:
        return str(refusal(error))
    return ""


KERNEL_SIDE_REFUSED = _kernel_side_refused()
needs_kernel_side = pytest.mark.skipif(bool(KERNEL_SIDE_REFUSED), reason=KERNEL_SIDE_REFUSED or "it is there")
"""Skip where `-e kernel` sees nothing."""

_BCC_REFUSED = "" if (_refused := why_not()) is None else str(_refused)
needs_bcc = pytest.mark.skipif(bool(_BCC_REFUSED), reason=_BCC_REFUSED or "it is there")
"""Skip where bcc cannot be asked."""
