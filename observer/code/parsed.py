"""ELF files as pyelftools reads them, but for what of it nobody here asks for."""

from __future__ import annotations

from typing import Any

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section

__all__ = ["ParsedElf"]


class ParsedElf(ELFFile):
    """An ELF file whose hash tables of symbols are plain sections.

    They would be read word by word whenever all sections are looked through, by their names, say: half of the time that
    a library takes.
    """

    def _make_elf_hash_section(self, section_header: Any, name: str) -> Any:
        return Section(section_header, name, self)

    def _make_gnu_hash_section(self, section_header: Any, name: str) -> Any:
        return Section(section_header, name, self)
