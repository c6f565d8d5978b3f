"""A program that has the C library in it: each call is told, whatever its linker and strip(1) left of the names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.live.programs import compile_c
from tests.recordings import run_observer

SOURCE = r"""
#include <stdlib.h>
int main(void)
{
    for (int i = 0; i < 100; i++) free(realloc(malloc(3001), 3002));
    return 0;
}
"""


@pytest.mark.parametrize("recorder", ["inline", "breakpoint"])
@pytest.mark.parametrize("strip", [False, True], ids=["whole", "strip-g"])
@pytest.mark.parametrize("flags", ["-static", "-static-pie"])
def test_all_of_the_family_is_told(tmp_path: Path, flags: str, strip: bool, recorder: str) -> None:
    program = compile_c(SOURCE, tmp_path / "program", flags, "-fno-builtin")
    if strip:
        subprocess.run(["strip", "-g", program], check=True)
    found = run_observer([program], tmp_path / "trace", options=("-q", "--recorder", recorder))
    found.assert_balanced()
    asked = [(call.op, call.size) for call in found.calls if call.size in (3001, 3002)]
    assert asked == 100 * [("malloc", 3001), ("realloc", 3002)]
