"""What the kernel touches in an execve is the program's that is about to run, wherever the one before had its heap."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import needs_fault_events
from tests.live.programs import compile_c
from tests.recordings import run_observer

BEFORE = r"""
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **words)
{
    (void)count;
    memset(malloc(100000), 1, 100000);
    if (FORK() == 0) { execv(words[1], words + 1); _exit(9); }
    wait(0);
    return 0;
}
"""
# Its variables lie where the other's heap does if addresses are not random, and end in the midst of a page.
AFTER = r"""
static const char text[65536] = {1};
char variables[20001] = {1}, zeros[3000];
int main(void) { return zeros[text[7]]; }
"""


@needs_fault_events
@pytest.mark.parametrize("recorder", ["inline", "breakpoint"])
@pytest.mark.parametrize("fork", ["vfork", "fork"])
def test_the_heap_of_who_waits_has_its_own_pages_alone(tmp_path: Path, fork: str, recorder: str) -> None:
    before = compile_c(BEFORE, tmp_path / "before", f"-DFORK={fork}")
    after = compile_c(AFTER, tmp_path / "after")
    options = ("-q", "--aslr", "off", "--recorder", recorder)
    found = run_observer((before, after), tmp_path / "trace", options=options)
    found.assert_balanced()
    root = found.faults[0].pid
    of_kernel = [fault for fault in found.faults if fault.pid != root and fault.ring == 0]
    assert any((fault.where or "").startswith("after+") for fault in of_kernel)
