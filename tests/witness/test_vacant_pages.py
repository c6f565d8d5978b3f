"""Pages that were freed and are still there: what --top vacant tells beside what mincore(2) told the program."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.live.programs import compile_c
from tests.recordings import OBSERVER, environment_of_commands, run_observer

FREED = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
enum { SIZE = 100 * 1024 };
static char *give(void) { return malloc(SIZE); }
int main(void)
{
    uintptr_t page = sysconf(_SC_PAGESIZE);
    char *piece = give();
    memset(piece, 1, SIZE / 2);
    char *behind = malloc(64);
    free(piece);
    uintptr_t first = ((uintptr_t)piece + page - 1) & -page, end = (uintptr_t)behind & -page;
    unsigned char there[SIZE / 4096 + 2];
    if (mincore((void *)first, end - first, there))
        return 1;
    unsigned long count = 0;
    for (uintptr_t at = first; at < end; at += page)
        count += there[(at - first) / page] & 1;
    char line[32];
    return write(1, line, sprintf(line, "%lu\\n", count * page)) < 0;
}
"""


def test_freed_bytes_that_are_resident_are_those_that_mincore_sees(tmp_path: Path) -> None:
    run = run_observer([compile_c(FREED, tmp_path / "freed")], tmp_path / "t")
    assert run.status == 0, run.stderr
    words = [*OBSERVER, "show", str(tmp_path / "t"), "--top", "vacant", "--json"]
    done = subprocess.run(words, capture_output=True, check=True, timeout=100, env=environment_of_commands())
    [told] = [json.loads(line) for line in done.stdout.splitlines()]
    assert told["site"]["function"] == "give"
    assert told["vacant_bytes"] == int(run.stdout)
    assert 0 < told["vacant_bytes"] < told["bytes"]
