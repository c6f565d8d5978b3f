"""System calls with arguments that lie: nothing is brought in to look at them, nothing stops, nothing steers a terminal."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from observer.model.events import Syscall
from tests.live.programs import compile_c
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer

ALL = ("-q", "-e", "trace=all")
HEAD = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
"""


def run_c(source: str, folder: Path, *options: str) -> Recorded:
    program = compile_c(HEAD + source, folder / "program")
    recorded = run_observer([program], folder / "trace", options=options or ALL, timeout=60)
    assert "Traceback" not in recorded.stderr
    recorded.assert_balanced()
    return recorded


def named(recorded: Recorded, name: str) -> list[Syscall]:
    return [call for call in recorded.syscalls if call.name == name]


PATHS = r"""
int main(void) {
    char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *fresh = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(two + 4096, 4096);
    memset(two, 'x', 4096);
    long paths[] = { 0, 0xffffffff81000000, 0x8000000000000000, 1, (long)two + 4090, (long)two + 4096, -1, (long)fresh };
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++)
        syscall(SYS_chdir, paths[i]);
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++)
        syscall(SYS_execve, paths[i], NULL, NULL);
    return 0;
}
"""


def test_paths_that_are_none_stay_pointers(tmp_path: Path) -> None:
    recorded = run_c(PATHS, tmp_path)
    calls = named(recorded, "chdir")
    assert [call.errno for call in calls] == [14] * 7 + [2]
    words = [call.decoded[0] if call.decoded else "" for call in calls]
    assert [words[i] for i in (0, 1, 2, 3, 6)] == [
        "NULL",
        "0xffffffff81000000",
        "0x8000000000000000",
        "0x1",
        hex(2**64 - 1),
    ]
    assert words[4] == '"xxxxxx"...'
    assert words[5].startswith("0x")
    # The kernel itself brought this page in, to read an empty name from it.
    assert words[7] == '""'
    execs = [call for call in named(recorded, "execve") if call.errno is not None]
    assert [call.errno for call in execs] == [14] * 7 + [2]


def test_nobody_brings_in_a_page_that_a_failed_call_did_not_reach(tmp_path: Path) -> None:
    source = r"""
        int main(void) {
            struct rusage before, after;
            char *fresh = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            unsigned char there[64];
            getrusage(RUSAGE_SELF, &before);
            for (int i = 0; i < 64; i++) {
                syscall(SYS_write, -1, fresh + i * 4096, 4096);
                syscall(SYS_read, -1, fresh + i * 4096, 4096);
                syscall(SYS_connect, -1, fresh + i * 4096, 110);
                syscall(SYS_openat, -1, (char *)8, 0);
                syscall(SYS_nanosleep, (char *)8, NULL);
                syscall(SYS_pipe2, fresh + i * 4096, -1);
            }
            getrusage(RUSAGE_SELF, &after);
            mincore(fresh, 64 * 4096, there);
            int present = 0;
            for (int i = 0; i < 64; i++) present += there[i] & 1;
            printf("fact present %d\nfact faults %ld\n", present, after.ru_minflt - before.ru_minflt);
            return 0;
        }"""
    recorded = run_c(source, tmp_path)
    bare = subprocess.run(
        [str(tmp_path / "program")], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert recorded.stdout == bare.stdout
    assert recorded.facts["present"] == "0"
    assert all(call.decoded and call.decoded[1].startswith("0x") for call in named(recorded, "write") if call.errno)


def test_lengths_that_lie(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        int main(void) {
            char text[] = "seven b";
            int full = open("/dev/full", O_WRONLY), null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
            (void)full;
            syscall(SYS_write, -1, text, 1L << 32);
            syscall(SYS_write, -1, text, -1L);
            syscall(SYS_write, null, text, 0x7ffff000L);
            syscall(SYS_read, zero, text, -5L);
            syscall(SYS_connect, -1, text, 1L << 31);
            syscall(SYS_bind, socket(AF_UNIX, SOCK_STREAM, 0), "\1\0", 2);
            syscall(SYS_bind, socket(AF_UNIX, SOCK_STREAM, 0), "\1", 1);
            syscall(SYS_bind, socket(AF_UNIX, SOCK_STREAM, 0), "\1\0/proc/nowhere/a\33[31m", -1);
            syscall(SYS_getcwd, (char *)8, -1L);
            syscall(SYS_readlink, "/proc/self/exe", text, -1L);
            return 0;
        }""",
        tmp_path,
    )
    writes = [call.decoded for call in named(recorded, "write") if call.args[2] > 1 << 30]
    assert len(writes) == 3
    assert all(words is not None and words[1].startswith('"seven b\\0') for words in writes)
    assert [call.errno for call in named(recorded, "bind")] == [None, 22, 22]
    text = "".join(word for call in recorded.syscalls for word in call.decoded or ())
    assert "\x1b" not in text


@pytest.mark.parametrize("number", [-1, -2, 2**31, 100_000, 0x4000_0000, 0x4000_0001, 0x4000_0208, 512, 335 + 100])
def test_numbers_that_no_table_has(number: int, tmp_path: Path) -> None:
    recorded = run_c(f"int main(void) {{ return syscall({number}L, -1L, -1L, -1L) != -1; }}", tmp_path)
    assert recorded.status in (0, -11, -31)
    if recorded.status == 0 and number != 435:  # clone3 is answered without a stop
        [call] = [call for call in recorded.syscalls if call.number == number or call.number == number & 0xFFFF_FFFF]
        assert call.name
        assert call.errno is not None


NAME = b'/proc/nowhere/\xff\xfe\x1b[31mred\x1b]0;title\x07\x01\t\n\r\x7f"\\\xc2\x9b1m\xe2\x80\xae'


def test_a_hostile_path_is_escaped_on_the_terminal_and_valid_in_json(tmp_path: Path) -> None:
    literal = "".join(f"\\{byte:03o}" for byte in NAME)
    source = HEAD + f'int main(void) {{ return open("{literal}", 0) != -1 || chdir("{literal}") != -1; }}'
    program = compile_c(source, tmp_path / "program")
    recorded = run_observer([program], tmp_path / "trace", options=("-e", "trace=file"))
    recorded.assert_balanced()
    assert recorded.status == 0
    [call] = named(recorded, "chdir")
    assert call.decoded is not None
    assert all(32 <= ord(letter) < 127 for letter in call.decoded[0])
    assert r"\377\376\33[31mred\33]0;title\7\1\t\n\r\177\"\\\302\2331m\342\200\256" in call.decoded[0]
    for words in (["show"], ["export", "--format", "jsonl"]):
        done = subprocess.run(
            [*OBSERVER, words[0], str(tmp_path / "trace"), *words[1:]],
            capture_output=True, check=False, env=environment_of_commands(),
        )  # fmt: skip
        for stream in (done.stdout, recorded.stderr.encode()):
            assert not {0x1B, 0x07, 0x01, 0x7F, 0x9B} & set(stream.replace(b"\xc2\xb7", b"")) or words[0] == "export"
        if words[0] == "export" and done.returncode == 0:
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            assert any(row.get("name") == "chdir" for row in rows)


def test_another_thread_unmaps_the_buffer_during_a_read(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        static char *volatile buffer;
        static volatile int over;
        static void *unmaps(void *p) {
            while (!over) { munmap(buffer, 4096); mmap(buffer, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); }
            return p;
        }
        int main(void) {
            pthread_t thread;
            buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            int zero = open("/dev/zero", O_RDONLY);
            pthread_create(&thread, NULL, unmaps, NULL);
            for (int i = 0; i < 500; i++) { syscall(SYS_read, zero, buffer, 4096); syscall(SYS_write, zero, buffer, 4096); syscall(SYS_chdir, buffer); }
            over = 1;
            pthread_join(thread, NULL);
            return 0;
        }""",
        tmp_path,
    )
    assert recorded.status == 0
    zero = next(call.result for call in named(recorded, "openat") if call.decoded and "/dev/zero" in call.decoded[1])
    assert len([call for call in named(recorded, "read") if call.args[0] == zero and call.args[2] == 4096]) == 500


def test_an_exec_after_vfork_tells_its_path_and_restores_nothing(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        int main(void) {
            for (int i = 0; i < 3; i++) {
                pid_t child = vfork();
                if (child == 0) { execl(i == 1 ? "/proc/nowhere" : "/bin/true", "true", NULL); _exit(3); }
                waitpid(child, NULL, 0);
            }
            return 0;
        }""",
        tmp_path,
    )
    execs = named(recorded, "execve")
    assert [(call.decoded and call.decoded[0], call.result) for call in execs] == [
        ('"/bin/true"', 0), ('"/proc/nowhere"', -2), ('"/bin/true"', 0),
    ]  # fmt: skip
    assert all(call.site is not None and call.site.line is not None for call in execs)


def test_an_exec_from_another_thread_tells_its_path(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        static void *other(void *p) { execl("/bin/true", "true", NULL); return p; }
        int main(void) { pthread_t t; pthread_create(&t, NULL, other, NULL); pthread_join(t, NULL); return 1; }
        """,
        tmp_path,
    )
    [call] = named(recorded, "execve")
    assert call.decoded is not None
    assert call.decoded[0] == '"/bin/true"'
    assert call.site is not None
    assert call.site.function == "other"
    assert call.site.line is not None


def test_interrupted_calls_end_with_what_the_program_is_told(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        static volatile int got;
        static void on(int n) { (void)n; got++; }
        int main(void) {
            struct sigaction without = { .sa_handler = on }, restarting = { .sa_handler = on, .sa_flags = SA_RESTART };
            struct timespec pause = { 0, 60000000 };
            int ends[2];
            char byte;
            pid_t me = getpid();
            sigaction(SIGUSR1, &without, NULL);
            sigaction(SIGUSR2, &restarting, NULL);
            pipe(ends);
            if (fork() == 0) {
                struct timespec some = { 0, 20000000 };
                nanosleep(&some, NULL); kill(me, SIGUSR1);
                nanosleep(&some, NULL); nanosleep(&some, NULL); kill(me, SIGUSR2); nanosleep(&some, NULL);
                write(ends[1], "x", 1);
                kill(me, SIGSTOP); nanosleep(&some, NULL); kill(me, SIGCONT);
                _exit(0);
            }
            long first = read(ends[0], &byte, 1);
            int interrupted = first == -1 && errno == EINTR;
            long second = read(ends[0], &byte, 1);
            nanosleep(&pause, NULL);
            while (wait(NULL) == -1 && errno == EINTR) ;
            return !(interrupted && second == 1 && got == 2);
        }""",
        tmp_path,
    )
    assert recorded.status == 0
    reads = [call for call in named(recorded, "read") if call.pid == recorded.processes[0].pid and call.args[2] == 1]
    assert [call.errno for call in reads][-1] is None
    assert {call.errno for call in reads[:-1]} <= {4, 512, 513, 514, 516}
    assert len(reads) in (2, 3)  # a restarted read is a second stop


def test_a_program_that_filters_its_calls_is_told_of(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        int main(void) {
            struct sock_filter code[] = {
                { 0x20, 0, 0, 0 }, { 0x15, 0, 1, SYS_getppid }, { 6, 0, 0, SECCOMP_RET_ERRNO | 42 },
                { 0x15, 0, 1, SYS_getuid }, { 6, 0, 0, SECCOMP_RET_TRAP }, { 6, 0, 0, SECCOMP_RET_ALLOW },
            };
            struct sock_fprog program = { 6, code };
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            signal(SIGSYS, SIG_IGN);
            if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 2;
            int refused = syscall(SYS_getppid) == -1 && errno == 42;
            getpid(); getgid();
            return !refused;
        }""",
        tmp_path,
    )
    assert recorded.status == 0
    assert any("filters its own" in note for note in recorded.trace.meta.notes)
    assert len(named(recorded, "getgid")) == 1


def test_a_program_that_forbids_to_be_traced_or_read(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        int main(void) {
            long traced = ptrace(PTRACE_TRACEME, 0, NULL, NULL);
            prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
            chdir("/proc/nowhere");
            return traced == 0;
        }""",
        tmp_path,
    )
    assert recorded.status == 0
    [call] = named(recorded, "chdir")
    # Without its pagemap one word is read: that much is surely there.
    assert call.decoded == ('"/proc/nowhere"' if os.geteuid() == 0 else '"/proc/no"...',)


def test_sixty_thousand_calls_are_all_recorded(tmp_path: Path) -> None:
    recorded = run_c(
        'int main(void) { for (int i = 0; i < 30011; i++) { syscall(SYS_getppid); syscall(SYS_access, "/proc/nowhere", 0); } return 0; }',
        tmp_path,
    )
    assert len(named(recorded, "getppid")) == 30011
    assert {call.decoded for call in named(recorded, "access") if call.errno} >= {('"/proc/nowhere"', "F_OK")}
    [line] = [line for line in recorded.trace.meta.ledger if line.identity.startswith("system calls left")]
    assert (line.seen or 0) >= 60022
    assert line.lost == 0
