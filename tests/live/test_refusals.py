"""Bad input and refusals: a clear error or an honest partial trace, the right status, no process left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from observer.model.ledger import INCOMPLETE
from tests.left_behind import left_after
from tests.live.programs import compile_c
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer

PTRACE, PERF_EVENT_OPEN, SECCOMP, PRCTL = 101, 298, 317, 157
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def deny(tmp_path_factory: pytest.TempPathFactory) -> str:
    source = (Path(__file__).parent / "deny.c").read_text()
    return compile_c(source, tmp_path_factory.mktemp("deny") / "deny")


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """After each test no process of it is there any more."""
    marker = f"observer-test-{os.getpid()}-{time.monotonic_ns()}"
    os.environ["OBSERVER_TEST_MARKER"] = marker
    yield
    assert left_after(f"OBSERVER_TEST_MARKER={marker}", seconds=5) == {}


def refused(command: list[str], folder: Path, *options: str) -> Recorded:
    recorded = run_observer(command, folder / "trace", options=options)
    assert "Traceback" not in recorded.stderr
    return recorded


def test_a_missing_program_is_127(tmp_path: Path) -> None:
    recorded = refused(["no-such-program-anywhere"], tmp_path)
    assert recorded.status == 127
    assert "no such program" in recorded.stderr
    assert not recorded.directory.exists()


def test_a_script_without_its_interpreter_is_not_itself_said_to_be_missing(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/nowhere/interpreter\n")
    script.chmod(0o755)
    recorded = refused([str(script)], tmp_path)
    assert recorded.status == 127
    assert "what its first line (#!) or its header names to run it with is not there" in recorded.stderr
    assert f"head -1 {script}" in recorded.stderr


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda place: place.mkdir(), "directory"),
        (lambda place: place.write_text("hello"), "permission denied"),
        (lambda place: (place.write_text("hello"), place.chmod(0o755)), "neither an ELF program nor a script"),
        (lambda place: (place.write_bytes(b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\xb7\0"), place.chmod(0o755)), "aarch64"),
        (
            lambda place: (place.write_bytes(b"\x7fELF\1\1\1" + bytes(9) + b"\2\0\x28\0"), place.chmod(0o755)),
            "32-bit arm",
        ),
        (
            lambda place: (place.write_bytes(b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0"), place.chmod(0o755)),
            "Exec format",
        ),
    ],
)
def test_what_cannot_be_executed_is_126(make: Callable[[Path], object], why: str, tmp_path: Path) -> None:
    place = tmp_path / "thing"
    make(place)
    recorded = refused([str(place)], tmp_path)
    assert recorded.status == 126
    assert why in recorded.stderr
    assert not recorded.directory.exists()


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "trace").mkdir()
    (tmp_path / "trace" / "mine").write_text("precious")
    recorded = refused(["true"], tmp_path)
    assert recorded.status == 125
    assert "exists" in recorded.stderr
    forced = refused(["true"], tmp_path, "--force")
    assert forced.status == 125, "--force replaces traces, not other people's folders"
    assert (tmp_path / "trace" / "mine").read_text() == "precious"


def test_force_replaces_a_trace(tmp_path: Path) -> None:
    assert refused(["true"], tmp_path).status == 0
    assert refused(["true"], tmp_path).status == 125
    assert refused(["true"], tmp_path, "--force").status == 0


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    recorded = run_observer(["true"], Path("/proc/nowhere/trace"))
    assert recorded.status == 125
    assert "cannot make the folder" in recorded.stderr


def test_an_unknown_system_call_is_named(tmp_path: Path) -> None:
    recorded = refused(["true"], tmp_path, "-e", "trace=brk,frobnicate")
    assert recorded.status == 125
    assert "'frobnicate'" in recorded.stderr


def test_ptrace_refused_names_the_remedy(deny: str, tmp_path: Path) -> None:
    recorded = run_observer(["true"], tmp_path / "trace", prefix=[deny, str(PTRACE)])
    assert recorded.status == 125
    assert "ptrace refused" in recorded.stderr
    assert "SYS_PTRACE" in recorded.stderr
    assert "Traceback" not in recorded.stderr


def test_who_traces_the_observer_already_is_named(tmp_path: Path) -> None:
    inner = [*OBSERVER, "run", "-q", "-o", str(tmp_path / "inner"), "--", "true"]
    recorded = run_observer(inner, tmp_path / "outer", options=["-q"])
    assert "cannot trace the program: ptrace refused (Operation not permitted): " in recorded.stderr
    assert ", traces it with us\n  try: the observer without it" in recorded.stderr
    assert recorded.status == 125
    assert not (tmp_path / "inner").exists()


def test_perf_refused_leaves_calls_and_system_calls(deny: str, sample: Callable[[str], str], tmp_path: Path) -> None:
    recorded = run_observer([sample("story")], tmp_path / "trace", prefix=[deny, str(PERF_EVENT_OPEN)])
    assert recorded.status == 0
    assert "perf_event_paranoid" in recorded.stderr
    assert len([call for call in recorded.calls if call.origin == "program"]) == int(recorded.facts["calls"])
    assert any(
        line.verdict == "UNVERIFIABLE" and "fault samples" in line.identity for line in recorded.trace.meta.ledger
    )


def test_without_a_seccomp_filter_the_same_is_seen(deny: str, sample: Callable[[str], str], tmp_path: Path) -> None:
    plain = run_observer([sample("story")], tmp_path / "plain")
    recorded = run_observer([sample("story")], tmp_path / "trace", prefix=[deny, str(PRCTL)])
    assert recorded.status == 0
    recorded.assert_balanced()
    assert [call.name for call in recorded.syscalls] == [call.name for call in plain.syscalls]


def test_a_stripped_static_program_says_what_is_missing(sample: Callable[[str], str], tmp_path: Path) -> None:
    recorded = run_observer([sample("story-stripped")], tmp_path / "trace")
    assert recorded.status == 0
    assert recorded.calls == []
    assert "stripped" in recorded.stderr
    assert any(call.name == "brk" for call in recorded.syscalls)
    assert recorded.faults


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_do_not_matter(closed: str, tmp_path: Path) -> None:
    words = f"exec {' '.join(OBSERVER)} run -o {tmp_path}/trace -- true {closed}"
    done = subprocess.run(
        ["sh", "-c", words], cwd=ROOT, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trace" / "meta.json").exists()


def test_a_reader_that_goes_away_does_not_end_the_run(tmp_path: Path) -> None:
    words = f"{' '.join(OBSERVER)} run -o {tmp_path}/trace -- true 2>&1 >/dev/null | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", words], cwd=ROOT, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "trace" / "calls.parquet").exists()


SLEEPER = """
#include <stdlib.h>
#include <unistd.h>
int main(void) { for (int i = 0; i < 23; i++) free(malloc(i * 100)); write(1, "ready\\n", 6); for (;;) pause(); }
"""


def start(program: list[str], directory: Path, *options: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*OBSERVER, "run", "-o", str(directory), *options, "--", *program], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("to_group", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_the_program_and_leaves_a_valid_trace(number: int, to_group: bool, tmp_path: Path) -> None:
    program = compile_c(SLEEPER, tmp_path / "sleeper")
    process = start([program], tmp_path / "trace")
    (os.killpg if to_group else os.kill)(process.pid, number)
    _out, error = process.communicate(timeout=30)
    assert process.returncode == -number, error
    recorded = Recorded(tmp_path / "trace", process.returncode, "", error)
    recorded.assert_balanced()
    assert recorded.trace.meta.outcome.ended == "killed"
    assert len(recorded.calls) == 46


def test_a_second_interrupt_kills_a_program_that_ignores_the_first(tmp_path: Path) -> None:
    program = compile_c(
        SLEEPER.replace("int main(void) {", "#include <signal.h>\nint main(void) { signal(SIGINT, SIG_IGN);"),
        tmp_path / "p",
    )
    process = start([program], tmp_path / "trace")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _out, error = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, error
    Recorded(tmp_path / "trace", process.returncode, "", error).assert_balanced()


def test_a_killed_observer_leaves_no_program_and_a_trace_that_says_so(tmp_path: Path) -> None:
    program = compile_c(SLEEPER, tmp_path / "sleeper")
    process = start([program], tmp_path / "trace")
    process.kill()
    process.communicate(timeout=30)
    shown = subprocess.run(
        [*OBSERVER, "show", str(tmp_path / "trace"), "--ledger"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in shown.stderr
    assert "cut off" in shown.stdout + shown.stderr
    recorded = Recorded(tmp_path / "trace", 0, "", "")
    assert recorded.trace.meta.outcome.ended == "cut off"
    assert recorded.trace.meta.outcome.seconds == max(event.t_ns for event in recorded.events) / 1e9 > 0
    assert "the observer was killed" in recorded.trace.meta.how["faults in kernel mode"]
    assert len(recorded.calls) == 46
    assert {line.verdict for line in recorded.trace.meta.ledger} == {INCOMPLETE}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_disk_that_fills_ends_the_recording_in_time_not_the_program(
    sample: Callable[[str], str], tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)], check=True)
    try:
        recorded = run_observer([sample("hammer"), "1", "40000"], small / "trace")
        assert "Traceback" not in recorded.stderr
        assert recorded.status == 0
        assert "the disk is nearly full" in recorded.trace.meta.outcome.closed
        assert "nearly full" in recorded.stderr
        assert int(recorded.facts["calls"]) == 80_000, "the program ran to its end"
        assert 1_000 < len(recorded.calls) < 80_000
        recorded.assert_balanced()
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)  # the trace is open here


def test_no_compiler_is_needed_to_record(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    environment = {"PATH": str(empty)}
    recorded = run_observer([shutil.which("true") or "/bin/true"], tmp_path / "trace", environment=environment)
    assert recorded.status == 0


def test_the_programs_own_streams_and_status_pass_through(tmp_path: Path) -> None:
    recorded = run_observer(
        [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"],
        tmp_path / "trace",
        options=("-q",),
    )
    assert (recorded.status, recorded.stdout, recorded.stderr) == (7, "out\n", "err\n")


def test_who_stops_reading_gets_the_status_of_a_broken_pipe() -> None:
    with subprocess.Popen([*OBSERVER, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_a_full_disk_under_the_output_is_said() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([*OBSERVER, "doctor"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (125, "observer: cannot write the output: No space left on device\n")


def test_a_name_that_is_too_long_for_a_folder_is_no_matter_of_rights(tmp_path: Path) -> None:
    program = tmp_path / ("x" * 253)
    program.symlink_to("/bin/true")
    done = subprocess.run(
        [*OBSERVER, "run", "--", program], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=environment_of_commands(),
    )  # fmt: skip
    assert done.returncode == 125
    assert done.stderr.endswith("File name too long\n  try: -o with a shorter name\n")
