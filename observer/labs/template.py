"""A new lab to begin from: the smallest one that lint passes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from observer.errors import UsageError
from observer.labs.new_folder import new_folder

__all__ = ["make_lab"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,59}")
_PROGRAM: Final = """\
#include <stdlib.h>

#include "parameters.h"

int main(void)
{{
    char *piece = malloc(SIZE); // @ASK
    piece[0] = 1;
{end}    return 0;
}}
"""
_LAB: Final = """\
concepts = ["virtual"]
points = 3
title = {{ en = "{name}", ko = "{name}" }}

[build]
sources = ["{name}.c"]

[parameters]
SIZE = [1000, 2000, 100]
"""
_CHECKS: Final = """\
[[question]]
id = "steps"
answer = "word"
observe = 'calls("malloc", 1).steps'
text = { en = "Which steps does malloc take (such as 1-5)?", ko = "malloc은 어떤 단계를 거칩니까(예: 1-5)?" }

[[check]]
name = "predicted the steps"
that = "prediction.steps == observed"
points = 1
hint = { en = "There is no heap yet.", ko = "아직 힙이 없습니다." }

[[check]]
name = "asks"
that = 'calls("malloc", 1, line="@ASK").size == SIZE'
points = 0
hint = { en = "Ask for SIZE bytes at @ASK.", ko = "@ASK에서 SIZE바이트를 요청하십시오." }

[[check]]
name = "nothing left"
that = "leaks == 0"
points = 2
needs = ["asks"]
hint = { en = "Give the piece back.", ko = "조각을 돌려주십시오." }
"""
_FREE: Final = "    free(piece);\n"


def make_lab(folder: Path) -> None:
    """Make the new *folder* of a lab that is called as it.

    Raises:
        UsageError: its name is none for a lab.
        BadLab: it exists, or cannot be written.
    """
    name = folder.name
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{name!r} is no name for a lab", "small letters, digits and _", "observer lab new my_lab")
    program = f"{name}.c"
    files = {
        "lab.toml": _LAB.format(name=name), "checks.toml": _CHECKS,
        "question.md": f"# {name}\n\nGive back what was asked for.\n",
        "question.ko.md": f"# {name}\n\n요청한 것을 돌려주십시오.\n",
        f"handout/{program}": _PROGRAM.format(end=""), f"solution/{program}": _PROGRAM.format(end=_FREE),
        "solution/predictions.toml": 'steps = "1-2-3-4-5"\n',
        f"mistakes/asks_for_less/{program}": _PROGRAM.format(end=_FREE).replace("malloc(SIZE)", "malloc(SIZE / 2)"),
        "mistakes/asks_for_less/expect.toml": 'fails = ["asks"]\n',
    }  # fmt: skip
    with new_folder(folder, "another folder"):
        for path, content in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content, encoding="utf-8")
