"""The callers of calls, kept by either recorder, in the midst of whatever happens; and how they are told."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from observer.model.events import Call
from tests.conftest import by_recorder
from tests.live.programs import compile_c
from tests.recordings import OBSERVER, Recorded, run_observer

PROGRAM = """
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile kept;
#define OURS(size) (3000 + (size))

__attribute__((noinline)) void *pool_get(size_t size) { void *piece = malloc(size); kept = piece; return piece; }
__attribute__((noinline)) void *get(size_t size) { void *piece = pool_get(size); kept = piece; return piece; }
__attribute__((noinline)) void work(int i) { free(get(OURS(i % 7))); }
__attribute__((noinline)) void keep(int i) { get(OURS(i)); }
static void *thread(void *count) { for (long i = 0; i < (long)count; i++) work(i); return NULL; }
static void handler(int number) { (void)number; free(get(OURS(100))); }

int main(int argc, char **argv) {
    for (int i = 0; i < 600; i++) work(i);                                  // MANY
    keep(200);                                                              // KEPT
    switch (argc > 1 ? argv[1][0] : 0) {
    case 't': {
        pthread_t others[3];
        for (int i = 0; i < 3; i++) pthread_create(&others[i], NULL, thread, (void *)700L);
        for (int i = 0; i < 3; i++) pthread_join(others[i], NULL);
        break;
    }
    case 'f':
        for (int i = 0; i < 3; i++)
            if (fork() == 0) { for (int j = 0; j < 5; j++) work(j); _exit(0); } else wait(NULL);
        break;
    case 's':
        signal(SIGUSR1, handler);
        for (int i = 0; i < 5; i++) raise(SIGUSR1);
        break;
    case 'd': {
        void *library = dlopen("libutil.so.1", RTLD_NOW);
        for (int i = 0; i < 600; i++) work(i);
        if (library) dlclose(library);
        break;
    }
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compile_c(PROGRAM, tmp_path_factory.mktemp("program") / "stacked", "-O1", "-fomit-frame-pointer", "-ldl")


def line_of(mark: str) -> int:
    return next(number for number, line in enumerate(PROGRAM.splitlines(), 1) if f"// {mark}" in line)


def recorded(command: list[str], folder: Path, recorder: str, *options: str) -> Recorded:
    found = run_observer(command, folder / "trace", options=("-q", "--recorder", recorder, "--stack", "6", *options))
    found.assert_balanced()
    return found


def ours(found: Recorded) -> list[Call]:
    return [call for call in found.calls if call.op == "malloc" and 3000 <= (call.size or 0) < 3400]


@by_recorder
@pytest.mark.parametrize("how", ["plain", "threads", "forks", "signals", "dlopen"])
def test_every_call_has_its_callers(how: str, recorder: str, program: str, tmp_path: Path) -> None:
    found = recorded([program, how], tmp_path, recorder)
    stacks = found.trace.stacks()
    chains = [[site.function for site in stacks[call.stack or 0].callers] for call in ours(found)]
    assert len(chains) == 601 + {"plain": 0, "threads": 2100, "forks": 15, "signals": 5, "dlopen": 600}[how]
    assert {tuple(chain[:2]) for chain in chains} == {("pool_get", "get")}
    third = {"work", "keep", "handler"} if how == "signals" else {"work", "keep"}
    assert {chain[2] for chain in chains} == third
    assert {chain[3] for chain in chains if chain[2] in ("work", "keep")} == (
        {"main", "thread"} if how == "threads" else {"main"}
    )
    assert len(stacks) < 60


@by_recorder
def test_a_call_is_told_at_the_first_caller_that_is_not_seen_through(
    recorder: str, program: str, tmp_path: Path
) -> None:
    found = recorded([program], tmp_path, recorder, "--through", "pool_*", "--through", "get", "--through", "work")
    assert {call.site.line for call in ours(found) if call.site is not None and call.size != 3200} == {line_of("MANY")}
    assert found.trace.meta.request.through == ("pool_*", "get", "work")
    [only] = [call for call in ours(found) if call.size == 3200]
    assert only.site is not None
    assert only.site.function == "keep"


def test_through_alone_keeps_callers_too(program: str, tmp_path: Path) -> None:
    found = run_observer([program], tmp_path / "trace", options=("-q", "--through", "pool_get"))
    assert found.trace.meta.request.stack == 16
    assert {call.site.function for call in ours(found) if call.site is not None} == {"get"}


def test_without_them_none_are_kept(program: str, tmp_path: Path) -> None:
    found = run_observer([program], tmp_path / "trace", options=("-q",))
    assert found.trace.stacks() == {}
    assert not (found.directory / "stacks.parquet").exists()
    assert {call.stack for call in found.calls} == {None}


@by_recorder
def test_what_they_are_kept_for(recorder: str, program: str, tmp_path: Path) -> None:
    found = recorded([program], tmp_path, recorder)

    def told(*words: str) -> bytes:
        return subprocess.run([*OBSERVER, *words], capture_output=True, check=True).stdout

    directory = str(found.directory)
    leaked = [json.loads(line) for line in told("show", directory, "--leaks", "--stacks", "--json").splitlines()]
    [kept] = [row for row in leaked if row["live_bytes"] == 3200]
    assert [caller["function"] for caller in kept["callers"]][:4] == ["pool_get", "get", "keep", "main"]
    folded = told("export", directory, "--to", "flamegraph", "--by", "live").decode()
    assert f"main;stacked.c:{line_of('KEPT')};keep;" in folded.replace("<stdin>", "stacked.c")
    query = """select count(*) as count from calls c join stacks s on c.stack = s.stack
        where c.op = 'malloc' and s.depth = 3 and s.site.function = 'work'"""
    assert json.loads(told("query", directory, query, "--json")) == {"count": 600}
    assert b"keep" in gzip.decompress(told("export", directory, "--to", "pprof"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--stack", "65"), "from 0 to 64"), (("--stack", "-1"), "from 0 to 64"), (("--stack", "x"), "from 0 to 64"),
        (("--stack", "0", "--through", "f"), "--through needs callers to look at"), (("--through", ""), "it is empty"),
        (("--stack", "4", "-e", "faults"), "--stack needs allocator calls"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(options: tuple[str, ...], why: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*OBSERVER, "run", *options, "-o", str(tmp_path / "t"), "--", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 125
    assert why in done.stderr
