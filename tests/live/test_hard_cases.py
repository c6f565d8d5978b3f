"""What breaks tracers: each case a small C program, its truth known from its source, its ledger balanced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import needs_fault_events
from tests.live.programs import compile_c
from tests.recordings import OBSERVER, PATCHED, Recorded, environment_of_commands, run_observer

MMAP = 9 if os.uname().machine == "x86_64" else 222
ROOT = Path(__file__).resolve().parent.parent.parent
HEAD = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
"""


def run_c(source: str, folder: Path, *options: str, balanced: bool = True) -> Recorded:
    program = compile_c(HEAD + source, folder / "program")
    recorded = run_observer([program], folder / "trace", options=options or ("-q",))
    if balanced:
        recorded.assert_balanced()
    return recorded


def own(recorded: Recorded) -> list[str]:
    """Operations that the program's own code asked for, in order."""
    return [call.op for call in recorded.calls if call.origin == "program"]


def excluded(recorded: Recorded) -> dict[str, int]:
    return {part.why: part.count for line in recorded.trace.meta.ledger for part in line.excluded}


def test_a_stopped_process_stays_stopped_until_it_is_continued(tmp_path: Path) -> None:
    program = compile_c(
        HEAD + 'int main(void) { write(1, "ready\\n", 6); volatile long n = 0; for (;;) n++; }', tmp_path / "p"
    )
    process = subprocess.Popen(
        [*OBSERVER, "run", "-q", "-o", str(tmp_path / "trace"), "--", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ticks = lambda: Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11]  # noqa: E731
    os.kill(int(child), signal.SIGSTOP)
    _wait_for(lambda: Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] in "tT")
    before = ticks()
    time.sleep(0.3)
    assert ticks() == before
    os.kill(int(child), signal.SIGCONT)
    _wait_for(lambda: int(ticks()) > int(before))
    os.kill(int(child), signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM


def _wait_for(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_signals_reach_the_program_with_their_values(tmp_path: Path) -> None:
    recorded = run_c(
        """
        static volatile int sum, count;
        static void on(int n, siginfo_t *info, void *c) { (void)n; (void)c; sum += info->si_value.sival_int; count++; free(malloc(9)); }
        int main(void) {
            struct sigaction action = { .sa_sigaction = on, .sa_flags = SA_SIGINFO };
            sigaction(SIGRTMIN, &action, NULL);
            for (int i = 0; i < 23; i++) sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i });
            return !(sum == 253 && count == 23);
        }""",
        tmp_path,
    )
    assert recorded.status == 0
    assert len(recorded.signals) == 23
    assert own(recorded) == ["malloc", "free"] * 23


def test_a_programs_own_breakpoint_instruction_reaches_its_handler(tmp_path: Path) -> None:
    recorded = run_c(
        """
        static volatile int traps;
        static void on(int n) { (void)n; traps++; }
        int main(void) { signal(SIGTRAP, on); for (int i = 0; i < 7; i++) __asm__ volatile("int3"); free(malloc(1)); return traps != 7; }
        """,
        tmp_path,
    )
    assert recorded.status == 0
    assert own(recorded) == ["malloc", "free"]


def test_an_exec_from_another_thread_is_followed(tmp_path: Path) -> None:
    recorded = run_c(
        """
        static void *other(void *p) { (void)p; free(malloc(23)); execl("/bin/true", "true", NULL); return NULL; }
        int main(void) { pthread_t t; pthread_create(&t, NULL, other, NULL); pthread_join(t, NULL); return 1; }
        """,
        tmp_path,
    )
    assert recorded.status == 0
    assert next(process.path for process in recorded.processes if process.what == "exec").endswith("/true")  # type: ignore[union-attr]
    assert own(recorded)[:2] == ["malloc", "free"]


def test_a_leader_that_ends_first_does_not_end_the_recording(tmp_path: Path) -> None:
    recorded = run_c(
        """
        static void *other(void *p) { (void)p; usleep(20000); for (int i = 0; i < 17; i++) free(malloc(100)); exit(3); }
        int main(void) { pthread_t t; pthread_create(&t, NULL, other, NULL); syscall(SYS_exit, 0); }
        """,
        tmp_path,
    )
    assert recorded.status == 3
    assert own(recorded).count("malloc") == 17


def test_newborns_that_are_killed_at_once_are_counted(tmp_path: Path) -> None:
    recorded = run_c(
        """
        int main(void) {
            for (int i = 0; i < 97; i++) {
                pid_t child = fork();
                if (child == 0) { for (;;) free(malloc(1)); }
                kill(child, SIGKILL);
                waitpid(child, NULL, 0);
            }
            return 0;
        }""",
        tmp_path,
        balanced=False,
    )
    assert recorded.status == 0
    assert Counter(process.what for process in recorded.processes)["fork"] == 97
    assert not [line for line in recorded.trace.meta.ledger if line.verdict == "INCONSISTENT"]


def test_a_vfork_child_takes_no_breakpoint_away(tmp_path: Path) -> None:
    recorded = run_c(
        """
        int main(void) {
            for (int i = 0; i < 5; i++) free(malloc(10));
            pid_t child = vfork();
            if (child == 0) _exit(0);
            waitpid(child, NULL, 0);
            for (int i = 0; i < 5; i++) free(malloc(10));
            return 0;
        }""",
        tmp_path,
    )
    assert own(recorded).count("malloc") == 10


@needs_fault_events
def test_pages_populated_by_mlock_and_map_populate_are_excluded_by_number(tmp_path: Path) -> None:
    recorded = run_c(
        """
        int main(void) {
            char *a = mmap(NULL, 97 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
            char *b = mmap(NULL, 23 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return mlock(b, 23 * 4096) || a == MAP_FAILED;
        }""",
        tmp_path,
    )
    assert excluded(recorded)["pages populated by mlock, MAP_POPULATE or the like"] == 97 + 23


@needs_fault_events
@pytest.mark.parametrize("recorder", ["inline", "breakpoint"])
def test_heap_pages_that_came_in_by_mlock_are_in_forked_children_as_well(recorder: str, tmp_path: Path) -> None:
    source = """
    int main(void) {
        if (mlockall(MCL_FUTURE)) return 77;
        for (int i = 0; i < 40; i++) if (!malloc(10000)) return 1;
        for (int turn = 0; turn < 2; turn++) {
            if (fork() == 0) { free(malloc(100)); _exit(0); }
            wait(0);
        }
        return 0;
    }
    """
    recorded = run_c(source, tmp_path, "-q", "--recorder", recorder)
    [line] = [line for line in recorded.trace.meta.ledger if line.identity.startswith("heap pages faulted in")]
    assert line.expected - line.seen == sum(part.count for part in line.excluded) > 3 * 90


@needs_fault_events
def test_refused_faults_are_told_apart_from_resolved_ones(tmp_path: Path) -> None:
    recorded = run_c(
        """
        static sigjmp_buf back;
        static void on(int n) { (void)n; siglongjmp(back, 1); }
        int main(void) {
            signal(SIGSEGV, on);
            for (volatile int i = 0; i < 23; i++) if (!sigsetjmp(back, 1)) *(volatile int *)16 = 1;
            return 0;
        }""",
        tmp_path,
    )
    [line] = [line for line in recorded.trace.meta.ledger if line.identity.startswith("faults the kernel refused")]
    assert (line.seen, line.expected, line.verdict) == (23, 23, "COMPLETE")


def test_calls_through_int_0x80_are_named_by_their_own_table(tmp_path: Path) -> None:
    recorded = run_c(
        """
        int main(void) { long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(45), "b"(0) : "memory"); return r == 0; }
        """,
        tmp_path,
    )
    through = [call for call in recorded.syscalls if call.gate == "int80"]
    assert [call.name for call in through] == ["brk"]
    assert [call.number for call in through] == [45]


def test_all_system_calls_are_seen_when_asked_for(tmp_path: Path) -> None:
    recorded = run_c(
        'int main(void) { for (int i = 0; i < 17; i++) getppid(); write(1, "x\\n", 2); return 0; }',
        tmp_path,
        "-q",
        "-e",
        "trace=all",
    )
    names = Counter(call.name for call in recorded.syscalls)
    assert names["getppid"] == 17
    assert names["write"] == 1
    assert names["exit_group"] == 1
    assert all(call.ring_before == 3 for call in recorded.syscalls)


def test_an_untraced_clone_is_made_and_followed(tmp_path: Path) -> None:
    recorded = run_c(
        """
        static char stack[65536];
        static int child(void *p) { for (int i = 0; i < 11; i++) free(malloc(23)); return 7; }
        int main(void)
        {
            register long kept __asm__("rdi");
            int status = 0;
            pid_t pid = clone(child, stack + sizeof stack, 0x00800000 | SIGCHLD, NULL);
            long result;
            __asm__ volatile("syscall" : "=a"(result), "=D"(kept) : "a"(56), "D"(0x00800000 | SIGCHLD), "S"(0), "d"(0)
                             : "rcx", "r11", "memory");
            if (result == 0)
                _exit(kept == (0x00800000 | SIGCHLD) ? 9 : 1);
            if (kept != (0x00800000 | SIGCHLD) || waitpid(pid, &status, 0) != pid || status != 7 << 8)
                return 1;
            return waitpid(result, &status, 0) != result || status != 9 << 8;
        }
        """,
        tmp_path,
    )
    assert recorded.status == 0
    assert own(recorded).count("malloc") == 11
    assert len([process for process in recorded.processes if process.child]) == 2


def test_many_threads_ending_at_once_are_all_read(tmp_path: Path) -> None:
    recorded = run_c(
        """
        static void *work(void *p) { for (int i = 0; i < 11; i++) { char *q = malloc(5000); q[0] = 1; q[4999] = 1; } pause(); return p; }
        int main(void) { pthread_t t; for (int i = 0; i < 100; i++) pthread_create(&t, NULL, work, NULL); usleep(100000); return 0; }
        """,
        tmp_path,
    )
    assert recorded.status == 0
    assert Counter(process.what for process in recorded.processes)["clone"] == 100


def test_a_page_that_a_thread_reaches_on_its_way_out_is_accounted_for(tmp_path: Path) -> None:
    recorded = run_c(
        """
        static int *word; static volatile int ready, go;
        static void *work(void *p) {
            *word = 1; syscall(SYS_set_tid_address, word); ready = 1;
            while (!go) { }
            syscall(SYS_exit, 0); return p;
        }
        int main(void) {
            pthread_t t; pid_t child;
            word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            pthread_create(&t, NULL, work, NULL);
            while (!ready) { }
            if (!(child = fork())) { pause(); _exit(0); }
            go = 1; usleep(200000);
            kill(child, SIGKILL); waitpid(child, NULL, 0);
            return *word;
        }""",
        tmp_path,
    )
    assert recorded.status == 0


def test_a_hostile_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    program = compile_c(HEAD + "int main(void) { free(malloc(1)); return 0; }", tmp_path / "a\x1b[31m[red]b")
    recorded = run_observer([program], tmp_path / "trace")
    assert recorded.status == 0
    assert "\x1b[31m" not in recorded.stderr


def test_the_program_finds_itself_as_without_the_observer(tmp_path: Path) -> None:
    program = compile_c(
        HEAD
        + """
        int main(void) {
            cpu_set_t set; sched_getaffinity(0, sizeof set, &set);
            sigset_t mask; sigprocmask(SIG_SETMASK, NULL, &mask);
            printf("cpus %d\\n", CPU_COUNT(&set));
            for (int i = 1; i < 65; i++) if (sigismember(&mask, i) == 1) printf("blocked %d\\n", i);
            for (int i = 1; i < 32; i++) { struct sigaction a; if (!sigaction(i, NULL, &a) && a.sa_handler == SIG_IGN) printf("ignored %d\\n", i); }
            for (int i = 0; i < 300; i++) if (fcntl(i, F_GETFD) != -1) printf("fd %d\\n", i);
            fflush(stdout);
            return 0;
        }""",
        tmp_path / "program",
    )
    bare = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    recorded = run_observer([program], tmp_path / "trace", options=("-q",))
    assert recorded.stdout == bare.stdout


@pytest.mark.parametrize("threads", [1, 4])
def test_calls_interrupted_by_timer_signals_are_all_counted(threads: int, tmp_path: Path) -> None:
    recorded = run_c(
        f"""
        #include <sys/time.h>
        static volatile long ticks;
        static void on(int n) {{ (void)n; ticks++; }}
        static void *work(void *p) {{ for (int i = 0; i < 5003; i++) free(malloc(i)); return p; }}
        int main(void) {{
            struct itimerval every = {{ {{0, 500}}, {{0, 500}} }}, off = {{ {{0, 0}}, {{0, 0}} }};
            pthread_t t[{threads}];
            signal(SIGALRM, on); setitimer(ITIMER_REAL, &every, NULL);
            for (int i = 0; i < {threads}; i++) pthread_create(&t[i], NULL, work, NULL);
            for (int i = 0; i < {threads}; i++) pthread_join(t[i], NULL);
            setitimer(ITIMER_REAL, &off, NULL);
            return ticks == 0;
        }}""",
        tmp_path,
    )
    assert recorded.status == 0
    assert Counter(own(recorded)) == {"malloc": 5003 * threads, "free": 5003 * threads}


def test_a_blocked_sigtrap_stays_blocked(tmp_path: Path) -> None:
    recorded = run_c(
        """
        int main(void) {
            sigset_t all, now; sigfillset(&all); sigprocmask(SIG_BLOCK, &all, NULL);
            for (int i = 0; i < 23; i++) free(malloc(i));
            sigprocmask(SIG_SETMASK, NULL, &now);
            return !sigismember(&now, SIGTRAP);
        }""",
        tmp_path,
    )
    assert recorded.status == 0
    assert own(recorded).count("malloc") == 23


def test_an_ignored_sigtrap_stays_ignored(tmp_path: Path) -> None:
    recorded = run_c(
        "int main(void) { signal(SIGTRAP, SIG_IGN); free(malloc(1)); return signal(SIGTRAP, SIG_DFL) != SIG_IGN; }",
        tmp_path,
    )
    assert recorded.status == 0
    assert not any("SIGTRAP" in note for note in recorded.trace.meta.notes)


KILLED_WHERE_IT_STANDS = """
import os, signal, sys, time
from observer.cli.main import main
from observer.tracee.engine import Engine

handle, waited = Engine._handle, []

def killing(self, tid, status):
    if tid in self.tasks and len(self.tasks) > 1 and self.tasks[tid].parent and os.WIFSTOPPED(status) and tid not in waited:
        child = self.tasks[tid]
        if status >> 8 == int(sys.argv[1]) and (child.entered is None or child.entered[5] == int(sys.argv[2])):
            waited.append(tid)
            os.kill(tid, signal.SIGKILL)
            while os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
                time.sleep(0.001)
    handle(self, tid, status)

Engine._handle = killing
status = main(sys.argv[3:])
assert waited
sys.exit(status)
"""
SECCOMP_STOP, SYSCALL_STOP, TRAP_STOP, ALARM_STOP = 7 << 8 | 5, 0x80 | 5, 5, signal.SIGALRM
CHILD = """
int main(void)
{
    if (fork() == 0) {
        void *region = mmap(NULL, 5 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        signal(SIGALRM, SIG_IGN);
        free(malloc(100));
        raise(SIGALRM);
        return region == NULL;
    }
    int how;
    wait(&how);
    return WTERMSIG(how);
}
"""


@pytest.mark.parametrize("stop", [SECCOMP_STOP, SYSCALL_STOP, TRAP_STOP, ALARM_STOP])
def test_a_task_killed_where_it_stands_for_us_is_read_at_its_exit_all_the_same(stop: int, tmp_path: Path) -> None:
    program = compile_c(HEAD + CHILD, tmp_path / "program")
    words = [str(stop), str(MMAP), "run", "-q", "-o", str(tmp_path / "trace"), "--", program]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHERE_IT_STANDS, *words],
        capture_output=True, text=True, check=False, env={**environment_of_commands(), **PATCHED}, timeout=60,
    )  # fmt: skip
    recorded = Recorded(tmp_path / "trace", done.returncode, done.stdout, done.stderr)
    assert done.returncode == signal.SIGKILL, done.stderr
    recorded.assert_balanced()
    assert not [line for line in recorded.trace.meta.ledger if "last reading" in line.note]


COUNTS_PEEKS = """
import sys
from observer.tracee import memory
from observer.cli.main import main
peek, peeked = memory.peek, []
def counted(tid, address):
    peeked.append(tid)
    return peek(tid, address)
memory.peek = counted
status = main(sys.argv[1:])
print(len(peeked))
sys.exit(status)
"""


def test_memory_of_more_processes_than_there_are_descriptors_is_not_read_word_by_word(tmp_path: Path) -> None:
    program = compile_c(
        HEAD
        + """
        int main(void) {
            for (int i = 0; i < 30; i++)
                if (!fork()) { for (int k = 0; k < 29; k++) free(malloc(k)); usleep(300000); _exit(0); }
            while (wait(NULL) > 0) { }
            return 0;
        }""",
        tmp_path / "program",
    )
    words = ["run", "-q", "--stack", "4", "--recorder", "breakpoint", "-o", str(tmp_path / "trace"), "--", program]
    done = subprocess.run(
        ["prlimit", "--nofile=40", sys.executable, "-c", COUNTS_PEEKS, *words],
        capture_output=True, text=True, check=False, env={**environment_of_commands(), **PATCHED},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 10 * 30 * 2 * 29
    Recorded(tmp_path / "trace", 0, "", "").assert_balanced()


MAKERS_FIRST = """
import sys, time
from observer.linux import ptrace
from observer.tracee import engine
from observer.cli.main import main
births = ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE
collect = engine.collect
def makers_first(pending):
    time.sleep(0.02)
    collect(pending)
    came = sorted(pending, key=lambda each: each[1] >> 16 not in births)
    pending.clear()
    pending.extend(came)
engine.collect = makers_first
sys.exit(main(sys.argv[1:]))
"""
"""The kernel tells of a maker before its child where that has not stopped yet."""


def test_a_thread_whose_first_stop_was_taken_with_its_makers_is_followed(tmp_path: Path) -> None:
    program = compile_c(
        HEAD
        + """
        static void *work(void *p) { for (int i = 0; i < 7; i++) free(malloc(7)); return p; }
        int main(void) {
            for (int i = 0; i < 12; i++)
                if (!fork()) {
                    pthread_t t;
                    free(malloc(5));
                    pthread_create(&t, NULL, work, NULL);
                    work(NULL);
                    pthread_join(t, NULL);
                    _exit(0);
                }
            while (wait(NULL) > 0) { }
            return 0;
        }""",
        tmp_path / "program",
    )
    words = ["run", "-q", "-o", str(tmp_path / "trace"), "--", program]
    done = subprocess.run(
        [sys.executable, "-c", MAKERS_FIRST, *words],
        capture_output=True, text=True, check=False, env={**environment_of_commands(), **PATCHED}, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recorded = Recorded(tmp_path / "trace", 0, "", "")
    recorded.assert_balanced()
    assert Counter(call.op for call in recorded.calls if call.origin == "program")["malloc"] == 12 * (1 + 2 * 7)


COPYING = {
    "mapped over": """
        char *aside = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        copy(aside, text);
        raw(SYS_mmap, text, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        copy(text, aside);
        raw(SYS_mprotect, text, size, PROT_READ | PROT_EXEC, 0, 0, 0);
        munmap(aside, size);
    """,
    "a file": """
        int fd = memfd_create("text", 0);
        ftruncate(fd, size);
        char *aside = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        copy(aside, text);
        raw(SYS_mmap, text, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
        munmap(aside, size);
        close(fd);
    """,
    "moved away and back": """
        char *aside = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        raw(SYS_mremap, text, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (long)aside, 0);
        raw(SYS_mremap, aside, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (long)text, 0);
    """,
}


MAPPED_ANEW = """
#include <link.h>
#include <stdint.h>
static char *text;
static size_t size;
static int find(struct dl_phdr_info *info, size_t bytes, void *data) {
    if (!strstr(info->dlpi_name, "libc.so"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            text = (char *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            size = info->dlpi_phdr[i].p_memsz + 4095 & ~4095ul;
        }
    return 1;
}
static void copy(volatile char *to, volatile char *from) {  /* memcpy is not there meanwhile */
    for (size_t i = 0; i < size; i++)
        to[i] = from[i];
}
static long raw(long number, void *a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
static void ended(void) {}
int main(void) {
    free(malloc(10));
    dl_iterate_phdr(find, NULL);
    for (int times = 0; times < 2; times++) {
        WAY
        for (int i = 0; i < 20; i++)
            free(realloc(malloc(100 + i), 5000));
    }
    ended();
    free(calloc(1, 1));
    return 7;
}
"""
"""As programs do that put their code on huge pages; here all of the C library's code, the allocator in it."""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="a system call in instructions of x86-64")
@pytest.mark.parametrize("recorder", ["breakpoint", "auto"])
@pytest.mark.parametrize("way", COPYING)
def test_code_that_is_mapped_anew_with_what_was_planted_is_still_followed(
    way: str, recorder: str, tmp_path: Path
) -> None:
    recorded = run_c(MAPPED_ANEW.replace("WAY", COPYING[way]), tmp_path, "-q", "--recorder", recorder)
    assert recorded.status == 7, recorded.stderr
    assert Counter(own(recorded)) == {"malloc": 41, "realloc": 40, "free": 42, "calloc": 1}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="a system call in instructions of x86-64")
def test_what_was_mapped_anew_with_what_was_planted_is_let_go_as_it_would_be_alone(tmp_path: Path) -> None:
    source = MAPPED_ANEW.replace("WAY", COPYING["a file"])
    recorded = run_c(source, tmp_path, "-q", "--until", "ended", balanced=False)
    assert recorded.status == 7, recorded.stderr
    assert Counter(own(recorded)) == {"malloc": 41, "realloc": 40, "free": 41}
