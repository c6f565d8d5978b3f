"""A million page faults, small rings, slow readers: what is lost is counted, and nothing is where the program halts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from observer.files import Folder
from observer.instruments.rings import Rings
from observer.model.events import Lost
from tests.conftest import needs_fault_events
from tests.live.programs import compile_c
from tests.live.test_hard_cases import HEAD, ROOT, run_c
from tests.recordings import OBSERVER, Recorded

TOUCHES_32_MB = (
    "int main(void) { char *p = malloc(32 << 20); for (long i = 0; i < 32 << 20; i += 4096) p[i] = 1; return 0; }"
)


def with_changed_rings(change: str, source: str, tmp_path: Path) -> Recorded:
    """Record the C *source* by an observer of whose module of page faults, `f`, the statement *change* was executed."""
    program = compile_c(HEAD + source, tmp_path / "program")
    changed = (
        f"import sys, observer.instruments.faults as f; {change}; from observer.cli.main import main; sys.exit(main())"
    )
    words = [OBSERVER[0], "-c", changed, "run", "-q", "-o", str(tmp_path / "trace")]
    done = subprocess.run([*words, "--", program], cwd=ROOT, capture_output=True, text=True, check=False)
    return Recorded(tmp_path / "trace", done.returncode, done.stdout, done.stderr)


@needs_fault_events
def test_fault_samples_that_find_no_room_are_counted_and_fail_the_run(tmp_path: Path) -> None:
    no_halts = "f._RING_PAGES = (1,); f.FaultInstrument.pace = lambda self, tid: None"
    recorded = with_changed_rings(no_halts, TOUCHES_32_MB, tmp_path)
    assert recorded.status == 125
    [line] = [line for line in recorded.trace.meta.ledger if line.identity.startswith("fault samples")]
    assert line.verdict == "INCOMPLETE"
    assert line.lost > 0
    assert (line.seen or 0) + line.lost == line.expected
    assert "INCOMPLETE" in recorded.stderr
    assert sum(event.count for event in recorded.events if isinstance(event, Lost)) == line.lost


@needs_fault_events
def test_rings_that_no_event_comes_into_yet_have_counted_nothing(tmp_path: Path) -> None:
    # Who takes signals asks how many there were from the launch on: what is raised there would end the taking.
    rings = Rings(Folder.open(tmp_path), "faults")
    rings.begin()
    rings.make((1,))
    try:
        assert rings.counted(0) == 0
    finally:
        rings.give_up()


@needs_fault_events
@pytest.mark.parametrize("pages", [1, 32])
def test_small_rings_lose_nothing(tmp_path: Path, pages: int) -> None:
    recorded = with_changed_rings(f"f._RING_PAGES = ({pages},)", TOUCHES_32_MB, tmp_path)
    recorded.assert_balanced()
    assert recorded.status == 0
    assert len([fault for fault in recorded.faults if fault.chunk is not None]) >= 8192


@needs_fault_events
def test_small_rings_lose_nothing_of_eight_threads_and_of_children(tmp_path: Path) -> None:
    recorded = with_changed_rings(
        "f._RING_PAGES = (32,)",
        """
        #include <pthread.h>
        #include <sys/wait.h>
        static void *touch(void *unused) {
            char *p = malloc(4 << 20);
            for (long i = 0; i < 4 << 20; i += 4096) p[i] = 1;
            return unused;
        }
        int main(void) {
            pthread_t threads[8];
            for (int i = 0; i < 8; i++) pthread_create(threads + i, NULL, touch, NULL);
            for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
            if (!fork()) { touch(NULL); return 0; }
            return wait(NULL) < 0;
        }""",
        tmp_path,
    )
    recorded.assert_balanced()
    assert recorded.status == 0
    assert len([fault for fault in recorded.faults if fault.chunk is not None]) >= 9 * 1024


def test_a_stop_that_somebody_sends_is_the_program_s_own_while_it_halts_for_us(tmp_path: Path) -> None:
    recorded = run_c(
        """
        #include <sys/wait.h>
        int main(void) {
            int status;
            pid_t child = fork();
            if (!child) for (;;) { char *p = malloc(8 << 20); memset(p, 1, 8 << 20); free(p); }
            for (int i = 0; i < 20; i++) {
                usleep(20000);
                kill(child, SIGSTOP);
                if (waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status)) return 1;
                kill(child, SIGCONT);
            }
            kill(child, SIGKILL);
            return waitpid(child, &status, 0) != child || !WIFSIGNALED(status);
        }""",
        tmp_path,
    )
    assert recorded.status == 0


def test_a_quarter_of_a_million_page_faults_without_a_stop_lose_nothing(tmp_path: Path) -> None:
    recorded = run_c(
        "int main(void) { for (int r = 0; r < 4; r++) { char *p = malloc(256 << 20);"
        " for (long i = 0; i < 256 << 20; i += 4096) p[i] = 1; free(p); } return 0; }",
        tmp_path,
    )
    assert len([fault for fault in recorded.faults if fault.chunk is not None]) >= 4 * 65_536


@needs_fault_events
@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to another group, and watching it then, needs root")
@pytest.mark.parametrize("how", ["set-group-ID file", "other group before"])
def test_a_program_with_other_rights_is_seen_though_linux_takes_its_events_away(tmp_path: Path, how: str) -> None:
    """The kernel ends the perf events of what its user may not look into: the observer opens them again."""
    touching = compile_c(
        HEAD + "int main(void) { char *p = malloc(4 << 20); for (long i = 0; i < 4 << 20; i += 4096) p[i] = 1; }",
        tmp_path / "touching",
    )
    if how == "set-group-ID file":
        os.chown(touching, 0, 65534)
        Path(touching).chmod(0o2755)
    recorded = run_c(
        f"""
        #include <sys/wait.h>
        int main(void) {{
            for (int i = 0; i < 3; i++) {{
                pid_t child = fork();
                if (!child) {{
                    if ({int(how != "set-group-ID file")} && setegid(65534)) return 1;
                    execl("{touching}", "touching", NULL);
                    return 1;
                }}
                int status;
                if (waitpid(child, &status, 0) != child || status) return 2;
            }}
            char *p = malloc(1 << 20);
            for (long i = 0; i < 1 << 20; i += 4096) p[i] = 1;
            return 0;
        }}""",
        tmp_path,
    )
    recorded.assert_balanced()
    assert recorded.status == 0
    assert len([fault for fault in recorded.faults if fault.chunk is not None]) >= 3 * 1024 + 256
