"""The lines of a source that checks speak of: `// @LOOP` behind a statement names its line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["anchors_in"]

_ANCHOR: Final = re.compile(r"//\s*@([A-Z][A-Z0-9_]*)\b")


def anchors_in(files: Iterable[Path]) -> dict[str, list[str]]:
    """Return where each name stands, as `file.c:12`; a name that stands on one line only can be spoken of."""
    found: dict[str, list[str]] = {}
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            for name in _ANCHOR.findall(line):
                found.setdefault(name, []).append(f"{path.name}:{number}")
    return found
