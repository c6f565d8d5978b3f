"""Refused instructions in bad places: no stack to run on, in a thread, in a handler, inside malloc; signals that lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.programs import compile_c
from tests.recordings import Recorded, run_observer

HEAD = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
static sigjmp_buf back;
static void leave(int n) { (void)n; siglongjmp(back, 1); }
"""


def run_c(source: str, folder: Path, *options: str) -> Recorded:
    program = compile_c(HEAD + source, folder / "program")
    recorded = run_observer([program], folder / "trace", options=options or ("-q",), timeout=60)
    assert "Traceback" not in recorded.stderr
    recorded.assert_balanced()
    [line] = [line for line in recorded.trace.meta.ledger if line.identity.startswith("pages the observer")]
    assert line.seen == 0 or line.verdict == "UNVERIFIABLE"
    return recorded


def told(recorded: Recorded) -> list[tuple[str, str | None, str | None, bool]]:
    return [(event.signal, event.exception, event.reason, event.fatal) for event in recorded.signals]


def test_a_handler_without_a_stack_to_run_on(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        static int deep(int n) { volatile char page[4096]; page[0] = 1; return n ? deep(n - 1) + page[0] : 0; }
        int main(void) {
            struct rlimit limit; getrlimit(RLIMIT_STACK, &limit); limit.rlim_cur = 1 << 20; setrlimit(RLIMIT_STACK, &limit);
            signal(SIGSEGV, leave);
            return deep(1 << 20);
        }""",
        tmp_path,
    )
    # The second is the kernel's own: the first one's frame found no room.
    assert told(recorded) == [("SIGSEGV", "#PF", "stack overrun", False), ("SIGSEGV", None, None, True)]
    assert recorded.signals[1].code == 0x80
    assert recorded.status == -11


def test_a_signal_from_outside_that_finds_no_room(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        int main(void) {
            signal(SIGUSR1, leave);
            __asm__ volatile("mov %0, %%rsp\n\tsyscall" : : "r"(0x8000000000000000), "a"(SYS_tgkill), "D"(getpid()), "S"(getpid()), "d"(SIGUSR1));
            return 0;
        }""",
        tmp_path, "-q", "-e", "trace=all",
    )  # fmt: skip
    assert "tgkill" in [call.name for call in recorded.syscalls]
    assert told(recorded) == [("SIGUSR1", None, None, False), ("SIGSEGV", None, None, True)]


def test_a_stack_pointer_below_a_stack_that_may_still_grow(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        static char other[65536];
        int main(void) {
            stack_t stack = { .ss_sp = other, .ss_size = sizeof other };
            struct sigaction action = { .sa_handler = leave, .sa_flags = SA_ONSTACK };
            uintptr_t low = ((uintptr_t)__builtin_frame_address(0) & -4096) - (512 << 10) + 64;
            sigaltstack(&stack, NULL);
            sigaction(SIGILL, &action, NULL);
            if (sigsetjmp(back, 1) == 0)
                __asm__ volatile("mov %0, %%rsp\n\tud2" : : "r"(low));
            return 0;
        }""",
        tmp_path,
    )
    assert told(recorded) == [("SIGILL", "#UD", None, False)]
    assert recorded.status == 0


@pytest.mark.parametrize("place", ["0x8000000000000000", "0xffffffff81000000", "1", "0"])
def test_a_stack_pointer_that_leads_nowhere(place: str, tmp_path: Path) -> None:
    recorded = run_c(
        f"""int main(void) {{ __asm__ volatile("mov %0, %%rsp\\n\\tud2" : : "r"((long)({place}))); return 0; }}""",
        tmp_path,
    )
    assert told(recorded)[0] == ("SIGILL", "#UD", None, True)
    assert recorded.status == -4


@pytest.mark.parametrize("place", ["0x8000000000000000", "0xffffffff81000000", "8"])
def test_an_allocator_that_is_jumped_into_without_a_stack_ends_as_it_would_alone(place: str, tmp_path: Path) -> None:
    recorded = run_c(
        f"""int main(void) {{ __asm__ volatile("mov %0, %%rsp\\n\\tjmp *%1" : : "r"((long)({place})), "r"(malloc)); return 0; }}""",
        tmp_path,
    )
    assert recorded.status in (-11, -7)


def test_a_segmentation_fault_in_a_thread_in_a_handler_and_on_another_stack(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        static char other[65536];
        static __thread sigjmp_buf mine;
        static void to_mine(int n) { (void)n; siglongjmp(mine, 1); }
        static void faults_again(int n) { (void)n; *(volatile int *)32 = 1; }
        static void *work(void *p) { if (sigsetjmp(mine, 1) == 0) *(volatile int *)16 = 1; return p; }
        int main(void) {
            pthread_t thread;
            stack_t stack = { .ss_sp = other, .ss_size = sizeof other };
            struct sigaction action = { .sa_handler = to_mine, .sa_flags = SA_ONSTACK };
            sigaltstack(&stack, NULL);
            sigaction(SIGSEGV, &action, NULL);
            pthread_create(&thread, NULL, work, NULL);
            pthread_join(thread, NULL);
            action.sa_handler = faults_again;
            sigaction(SIGUSR1, &action, NULL);
            if (sigsetjmp(mine, 1) == 0) raise(SIGUSR1);
            if (sigsetjmp(mine, 1) == 0) raise(SIGUSR1);
            return 0;
        }""",
        tmp_path,
    )
    faults = [event for event in recorded.signals if event.signal == "SIGSEGV"]
    assert [(event.address, event.access, event.reason) for event in faults] == [
        (16, "write", "null pointer"), (32, "write", "null pointer"), (32, "write", "null pointer"),
    ]  # fmt: skip
    assert [event.site.function if event.site else None for event in faults] == ["work", "faults_again", "faults_again"]
    assert len({event.tid for event in faults}) == 2
    assert recorded.status == 0


def test_a_segmentation_fault_inside_malloc_is_told_at_the_programs_line(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        int main(void) {
            void **one = malloc(24), **two = malloc(24);
            free(one);
            free(two);
            two[0] = (void *)((0x1230UL << 12) ^ ((uintptr_t)two >> 12));
            malloc(24);
            malloc(24);
            return 0;
        }""",
        tmp_path,
    )
    [event] = recorded.signals
    assert recorded.status < 0
    assert event.fatal
    assert event.site is not None
    assert event.site.function == "main"
    unreturned = [call for call in recorded.calls if call.end_ns is None or call.result is None]
    assert any(call.op == "malloc" for call in unreturned)
    assert event.exception == ("#PF" if event.signal == "SIGSEGV" else None)


def test_a_signal_that_says_it_is_a_fault_is_none(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        int main(void) {
            static const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
            for (volatile int i = 0; i < 5; i++)
                for (volatile int code = 1; code < 4; code++) {
                    siginfo_t info = { .si_signo = numbers[i], .si_code = code };
                    info.si_addr = (void *)0x1230;
                    signal(numbers[i], leave);
                    if (sigsetjmp(back, 1) == 0) syscall(SYS_rt_sigqueueinfo, getpid(), numbers[i], &info);
                }
            return 0;
        }""",
        tmp_path,
    )
    assert recorded.status == 0
    assert len(recorded.signals) == 15
    assert {event.exception for event in recorded.signals} == {None}


def test_what_a_handler_finds_is_as_without_the_observer(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        static volatile int wrong;
        static void on(int n, siginfo_t *info, void *context) {
            ucontext_t *machine = context;
            wrong |= machine->uc_mcontext.gregs[REG_TRAPNO] != 14 || info->si_addr != (void *)16 || n != SIGSEGV;
            machine->uc_mcontext.gregs[REG_RIP] += 2;
        }
        int main(void) {
            struct sigaction action = { .sa_sigaction = on, .sa_flags = SA_SIGINFO };
            sigaction(SIGSEGV, &action, NULL);
            for (int i = 0; i < 101; i++) __asm__ volatile("movb %%al, (%0)" : : "r"(16L));
            return wrong;
        }""",
        tmp_path,
    )
    assert recorded.status == 0
    assert told(recorded) == [("SIGSEGV", "#PF", "null pointer", False)] * 101


def test_all_refusals_of_a_run_are_told_once_each(tmp_path: Path) -> None:
    recorded = run_c(
        r"""
        int main(void) {
            signal(SIGSEGV, leave);
            for (volatile int i = 0; i < 23; i++) if (sigsetjmp(back, 1) == 0) __asm__ volatile("cli");
            return 0;
        }""",
        tmp_path,
        "--full",
    )  # fmt: skip
    assert "23 ×" in recorded.stderr
    section = recorded.stderr.partition("What the processor refused")[2]
    assert section.count("may only run in ring 0") == 1


RETURN_ASTRAY = r"""
int main(void) {
    /* Lowest on the stack after the return: an address of code that no call comes back to. */
    __asm__ volatile("lea main(%%rip), %%rax\n\tinc %%rax\n\tpush %%rax\n\tpush $0x5000\n\tret" ::: "rax", "memory");
    return 0;
}
"""


def test_what_merely_lies_on_the_stack_is_no_caller(tmp_path: Path) -> None:
    run = run_observer([compile_c(RETURN_ASTRAY, tmp_path / "astray")], tmp_path / "trace", options=("-q",))
    (event,) = run.signals
    assert (event.signal, event.reason, event.access) == ("SIGSEGV", "null pointer", "exec")
    assert event.site is None
