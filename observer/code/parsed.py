"""ELF files as pyelftools reads them, but for what of it nobody here asks for."""

from __future__ import annotations

from collections.abc import Container as Kinds
from typing import Any, BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section

__all__ = ["ParsedElf"]


class ParsedElf(ELFFile):
    """An ELF file whose sections are parsed once each, and whose hash tables of symbols are plain sections.

    These would be read word by word whenever all sections are looked through, by their names, say: half of the time
    that a library takes. To parse the heads of sections again and again is a third of the rest.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._sections: dict[int, Section] = {}
        super().__init__(stream)

    def get_section(self, n: int, type: Kinds[str] | None = None) -> Section:
        """Return the section with the number *n*.

        Raises:
            ELFError: it is of another *type*.
        """
        section = self._sections.get(n)
        if section is None:
            section = self._sections[n] = super().get_section(n)
        if type and section["sh_type"] not in type:
            raise ELFError(f"section {n} is of the type {section['sh_type']}")
        return section

    def _make_elf_hash_section(self, section_header: Any, name: str) -> Any:
        return Section(section_header, name, self)

    def _make_gnu_hash_section(self, section_header: Any, name: str) -> Any:
        return Section(section_header, name, self)
