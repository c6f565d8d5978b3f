"""How large pages are on the simulated machine: the small ones, and the huge ones that a whole table's entries map."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from observer.model.addresses import PAGE, page_down, page_up

__all__ = ["PageSizes"]

_ENTRY: Final = 8
"""Bytes of a page-table entry, on all 64-bit machines of Linux; a table is one page of them."""


class PageSizes:
    """Pages of *page* bytes, a power of two: 4 KiB as on the reference machine, 16 or 64 KiB as arm64 has them, too."""

    def __init__(self, page: int = PAGE) -> None:
        if page < _ENTRY or page & page - 1:
            raise ValueError(f"{page} bytes are no page")
        self.page = page

    @cached_property
    def shift(self) -> int:
        """Bits of an address inside its page."""
        return self.page.bit_length() - 1

    @cached_property
    def huge(self) -> int:
        """Pages in a huge page (PMD_SIZE): as many as one table has entries."""
        return self.page // _ENTRY

    @property
    def huge_page(self) -> int:
        """Bytes of a huge page: 2 MiB where pages have 4 KiB, 32 MiB where they have 16."""
        return self.huge * self.page

    @cached_property
    def huge_shift(self) -> int:
        """Bits of a page's number inside its huge page."""
        return self.huge.bit_length() - 1

    def up(self, address: int) -> int:
        """Round up to a page."""
        return page_up(address, self.page)

    def down(self, address: int) -> int:
        """Round down to a page."""
        return page_down(address, self.page)

    def pages(self, start: int, length: int) -> tuple[int, int]:
        """Return (first, end) of the pages that [start, start+length) touches."""
        return start >> self.shift, start + length + self.page - 1 >> self.shift

    def whole_pages(self, start: int, length: int) -> tuple[int, int]:
        """Return (first, end) of the pages that lie in [start, start+length)."""
        return start + self.page - 1 >> self.shift, start + length >> self.shift
