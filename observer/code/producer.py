"""How a program was compiled, as its debug information says (DW_AT_producer, DWARF 5 section 3.1.1)."""

from __future__ import annotations

import os
from itertools import islice
from typing import Final

from observer.code.elf import DAMAGED, is_credible
from observer.code.parsed import ParsedElf
from observer.files import open_regular

__all__ = ["options_that_matter"]

_UNITS: Final = 64
_KEPT: Final = frozenset({"-fno-builtin"})


def options_that_matter(path: str) -> tuple[str, ...] | None:
    """Return the options that change which calls a C program makes: its -O level, -fno-builtin; None if unknown.

    GCC records the options it was given; without -O it does not optimise. Clang records none.
    """
    try:
        with open_regular(path) as file:
            elf = ParsedElf(file)
            if not elf.has_dwarf_info() or not is_credible(elf, os.fstat(file.fileno()).st_size):
                return None
            for unit in islice(elf.get_dwarf_info().iter_CUs(), _UNITS):
                producer = unit.get_top_DIE().attributes.get("DW_AT_producer")
                text = producer.value.decode("utf-8", "replace") if producer else ""
                if text.startswith("GNU C"):
                    return _options(text.split())
    except (OSError, *DAMAGED):
        return None
    return None


def _options(words: list[str]) -> tuple[str, ...]:
    levels = [word for word in words if word.startswith("-O")]
    return (levels[-1] if levels else "-O0", *(word for word in words if word in _KEPT))
