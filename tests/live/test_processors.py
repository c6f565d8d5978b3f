"""The processors that a program finds and chooses, its own and other tasks', are what they are without us."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.live.programs import compile_c
from tests.recordings import run_observer

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="nothing is shared: there is one processor")
HEAD = """
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void tell(const char *whose, pid_t task)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(task, sizeof set, &set)) perror(whose);
    printf("%s:", whose);
    for (int i = 0; i < CPU_SETSIZE; i++) if (CPU_ISSET(i, &set)) printf(" %d", i);
    puts("");
    fflush(stdout);
}
static cpu_set_t last(void)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    sched_getaffinity(0, sizeof all, &all);
    for (int i = CPU_SETSIZE; i--;) if (CPU_ISSET(i, &all)) { CPU_SET(i, &one); break; }
    return one;
}
static void work(int turns)
{
    for (int i = 0; i < turns; i++) { for (int k = 0; k < 500; k++) free(malloc(k)); usleep(20000); }
}
"""
READS_OTHERS = """
int main(void)
{
    pid_t child = fork();
    if (!child) { work(10); tell("the parent's", getppid()); _exit(0); }
    usleep(50000);
    tell("the child's", child);
    waitpid(child, NULL, 0);
    tell("my own by its number", getpid());
    return 0;
}
"""
SETS_OTHERS = """
int main(void)
{
    int go[2];
    if (pipe(go)) return 2;
    pid_t child = fork();
    if (!child) { char byte; if (read(go[0], &byte, 1) != 1) _exit(2); work(20); tell("as told", 0); _exit(0); }
    cpu_set_t one = last();
    if (sched_setaffinity(child, sizeof one, &one) || write(go[1], "g", 1) != 1) return 2;
    tell("the child's", child);
    waitpid(child, NULL, 0);
    tell("mine", 0);
    return 0;
}
"""
FAILS_TO_SET = """
int main(void)
{
    cpu_set_t none;
    CPU_ZERO(&none);
    printf("%d\\n", sched_setaffinity(0, sizeof none, &none));
    work(5);
    tell("mine", 0);
    return 0;
}
"""
EXECUTES_FROM_A_THREAD = """
static void *run(void *program)
{
    cpu_set_t one = last();
    sched_setaffinity(0, sizeof one, &one);
    execl(program, program, "again", NULL);
    return NULL;
}
int main(int count, char **words)
{
    pthread_t thread;
    if (count > 1) { work(5); tell("the thread's", 0); return 0; }
    pthread_create(&thread, NULL, run, words[0]);
    pthread_join(thread, NULL);
    return 1;
}
"""
OF_A_NAMESPACE = """
int main(void)
{
    if (unshare(CLONE_NEWPID)) return 2;
    pid_t child = fork();
    if (!child) {
        pid_t grandchild = fork();
        if (!grandchild) { work(10); _exit(0); }
        work(3);
        tell("the grandchild's", grandchild);
        waitpid(grandchild, NULL, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return 0;
}
"""


@pytest.mark.parametrize("recorder", ["auto", "breakpoint"])
@pytest.mark.parametrize("source", [READS_OTHERS, SETS_OTHERS, FAILS_TO_SET, EXECUTES_FROM_A_THREAD, OF_A_NAMESPACE])
def test_masks_of_processors_are_those_without_us(source: str, recorder: str, tmp_path: Path) -> None:
    program = compile_c(HEAD + source, tmp_path / "program")
    bare = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if bare.returncode == 2:
        pytest.skip("there may be no namespaces here")
    recorded = run_observer([program], tmp_path / "trace", options=("-q", "--recorder", recorder))
    assert (recorded.status, recorded.stdout) == (bare.returncode, bare.stdout), recorded.stderr


def test_a_task_that_is_none_of_ours_keeps_its_mask(tmp_path: Path) -> None:
    program = compile_c(HEAD + 'int main(int n, char **w) { tell("its", atoi(w[n - 1])); return 0; }', tmp_path / "p")
    chosen = max(os.sched_getaffinity(0))
    with subprocess.Popen(["sleep", "99"]) as other:
        try:
            os.sched_setaffinity(other.pid, {chosen})
            recorded = run_observer([program, str(other.pid)], tmp_path / "trace", options=("-q",))
            assert recorded.stdout == f"its: {chosen}\n"
            assert os.sched_getaffinity(other.pid) == {chosen}
        finally:
            other.kill()
