"""A program's own allocator, named by --malloc-functions: its calls are told like anybody's, and the ledger balances."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.live.programs import compile_c
from tests.recordings import OBSERVER, Recorded, run_observer

OWN = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void *grab(size_t size) {
    size = (size + 31) / 16 * 16;
    size_t *chunk = sbrk(size);
    *chunk = size;
    return chunk + 2;
}
void *my_malloc(size_t size) { return grab(size); }
void drop(void *piece) { (void)piece; }
void *my_calloc(size_t count, size_t size) { return my_malloc(count * size); }
void *my_realloc(void *piece, size_t size) { void *moved = my_malloc(size); drop(piece); return moved; }
int main(int count, char **words) {
    char *first = my_malloc(101), *second = my_calloc(7, 11), *third = grab(13);
    second = my_realloc(second, 5003);
    for (int at = 0; at < 5003; at++) second[at] = 1;
    drop(first);
    if (count > 1) {
        char *foreign = malloc(79), *own = my_malloc(31);
        free(foreign);
        drop(own);
    }
    return third == NULL;
}
"""
WRAPPER = r"""
#include <stdlib.h>
void *my_malloc(size_t size) { size_t *piece = malloc(size + 16); *piece = size; return piece + 2; }
void my_free(void *piece) { free((size_t *)piece - 2); }
int main(void) {
    char *one = my_malloc(101), *two = my_malloc(307), *plain = malloc(53);
    my_free(one);
    my_free(two);
    two = my_malloc(907);
    return two == NULL || plain == NULL;
}
"""
GENEROUS = r"""
#include <stddef.h>
#include <sys/mman.h>
static char *memory;
__attribute__((noinline)) void *my_malloc(size_t size) { return (void)size, memory; }
__attribute__((noinline)) void my_free(void *piece) { (void)piece; }
int main(void) {
    memory = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 3; i++) {
        char *piece = my_malloc((size_t)-1);
        piece[i << 12] = 1;
        my_free(piece);
    }
}
"""
NAMES = "my_malloc,my_calloc,my_realloc,grab=malloc,drop=free"


def told(run: Recorded) -> list[tuple[str, int | None, str | None, str | None]]:
    return [(call.op, call.size, call.allocator, call.steps) for call in run.calls if call.origin == "program"]


def own_calls(name: str) -> list[tuple[str, int | None, str | None, str | None]]:
    asked = [("malloc", 101), ("calloc", 11), ("malloc", 13), ("realloc", 5003)]
    return [*((op, size, name, "1-2-3-4-5") for op, size in asked), ("free", None, name, None)]


@pytest.mark.parametrize("flags", [(), ("-static",)], ids=["dynamic", "static"])
def test_functions_of_the_programs_own_are_told_like_malloc(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = compile_c(OWN, tmp_path / "own", *flags)
    run = run_observer([program], tmp_path / "t", options=["--malloc-functions", NAMES])
    # In a static program, what the C library asks for is asked for by the program, too.
    assert (run.status, [each for each in told(run) if each[2] != "glibc"]) == (0, own_calls("own"))
    run.assert_balanced()
    own = {call.n for call in run.calls if call.allocator == "own"}
    assert {event.name for event in run.syscalls if event.cause in own} == {"brk"}
    assert run.trace.meta.request.malloc_functions == {
        "my_malloc": "malloc", "my_calloc": "calloc", "my_realloc": "realloc", "grab": "malloc", "drop": "free",
    }  # fmt: skip


def test_touches_of_a_piece_are_told_of_the_piece(tmp_path: Path) -> None:
    run = run_observer([compile_c(OWN, tmp_path / "own")], tmp_path / "t", options=["--malloc-functions", NAMES])
    (given,) = (call for call in run.calls if call.op == "realloc")
    found = [fault for fault in run.faults if fault.toucher == "program" and fault.chunk is not None]
    if run.trace.meta.sees_faults:
        assert [fault.chunk.call for fault in found if fault.chunk is not None] == [given.n]


def test_beside_glibcs_own_each_call_is_told_of_its_allocator(tmp_path: Path) -> None:
    run = run_observer([compile_c(OWN, tmp_path / "own"), "x"], tmp_path / "t", options=["--malloc-functions", NAMES])
    own = own_calls("own")
    assert told(run) == [
        *own, ("malloc", 79, "glibc", "1-2-3-4-5"), ("malloc", 31, "own", "1-2-3-4-5"), ("free", None, "glibc", None),
        ("free", None, "own", None),
    ]  # fmt: skip
    run.assert_balanced()


def test_an_allocator_on_top_of_malloc_is_told_by_its_own_calls(tmp_path: Path) -> None:
    program = compile_c(WRAPPER, tmp_path / "wrapper")
    run = run_observer([program], tmp_path / "t", options=["--malloc-functions", "my_malloc,my_free"])
    assert [(call.op, call.size, call.allocator, call.inner) for call in run.calls if call.origin == "program"] == [
        ("malloc", 101, "wrapper", 1), ("malloc", 307, "wrapper", 1), ("malloc", 53, "glibc", 0),
        ("free", None, "wrapper", 1), ("free", None, "wrapper", 1), ("malloc", 907, "wrapper", 1),
    ]  # fmt: skip
    run.assert_balanced()


def test_a_name_that_is_nowhere_is_said(tmp_path: Path) -> None:
    program = compile_c(OWN, tmp_path / "own")
    run = run_observer([program], tmp_path / "t", options=["--malloc-functions", "my_malloc,my_typo=free"])
    assert "no file that was loaded has a function my_typo" in run.trace.meta.notes
    assert not any("my_malloc" in note for note in run.trace.meta.notes)


def test_a_break_that_only_the_program_moves_is_no_damaged_heap(tmp_path: Path) -> None:
    run = run_observer([compile_c(OWN, tmp_path / "own")], tmp_path / "t")
    assert "damaged" not in run.stderr + " ".join(line.note for line in run.trace.meta.ledger)


def test_calls_only_can_be_named(tmp_path: Path) -> None:
    run = run_observer(["true"], tmp_path / "t", options=["-e", "faults", "--malloc-functions", "my_malloc"])
    assert (run.status, "--malloc-functions needs allocator calls" in run.stderr) == (125, True)


def test_a_piece_holds_no_more_than_there_are_addresses(tmp_path: Path) -> None:
    options = ["--malloc-functions", "my_malloc,my_free"]
    run = run_observer([compile_c(GENEROUS, tmp_path / "generous")], tmp_path / "t", options=options)
    assert run.status == 0
    assert [call.size for call in run.calls if call.allocator == "generous" and call.size] == [2**64 - 1] * 3
    assert "alive at most   128 TiB" in run.stderr
    for part, told in (("--peak", "128 TiB"), ("--lifetimes", "384 TiB"), ("--sizes", "384 TiB")):
        shown = subprocess.run(
            [*OBSERVER, "show", str(tmp_path / "t"), part], capture_output=True, text=True, check=True
        )
        assert told in shown.stdout
