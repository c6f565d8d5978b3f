"""Which line of a compiler's messages says what is wrong."""

from __future__ import annotations

import pytest

from observer.tracee.compiling import first_error


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a.c: In function 'main':\na.c:1:9: error: 'x' undeclared\na.c:2:1: error: more", "a.c:1:9: error: 'x' undeclared"),
        ("ld: cannot find -lz: No such file\ncollect2: error: ld returned 1 exit status", "ld: cannot find -lz: No such file"),
        ("ld: a.o: undefined reference to `f'\ncollect2: error: ld returned 1", "ld: a.o: undefined reference to `f'"),
        ("a.c: warning: errors are ahead\nKilled", "Killed"),
        ("cc: fatal error: no input", "fatal error: no input"),
        ("", "it does not say why"),
    ],
)  # fmt: skip
def test_the_first_error_is_told(text: str, told: str) -> None:
    assert first_error(text, "cc") == told
