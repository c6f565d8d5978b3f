"""Names of addresses that survive address-space randomisation, as events carry them: written and read in one place.

An address is named by what lies there and how far behind its beginning it is: `heap+0x2a0`, `map#3+0x10`,
`libc.so.6+0x98930`. The stack has no beginning that stays, so its addresses have no offset: `stack`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Where", "text_of"]


class Where(NamedTuple):
    """A place: its name, and the bytes from its beginning, None where it has none that could be told."""

    name: str
    offset: int | None = None

    @property
    def text(self) -> str:
        """The place as events carry it.

        >>> Where("heap", 0x2a0).text, Where("stack").text
        ('heap+0x2a0', 'stack')
        """
        return text_of(self.name, self.offset)

    @classmethod
    def of(cls, text: str | None) -> Where:
        """Return the place that an event carries.

        >>> Where.of("libc.so.6+0x98930")
        Where(name='libc.so.6', offset=624944)
        """
        name, plus, offset = (text or "").rpartition("+0x")
        try:
            return cls(name, int(offset, 16)) if plus else cls(text or "")
        except ValueError:
            return cls(text or "")


def text_of(name: str, offset: int | None) -> str:
    """Return a place as events carry it, for who names millions of them and needs no value.

    >>> text_of("map#3", 16)
    'map#3+0x10'
    """
    return name if offset is None else f"{name}+{hex(offset)}"
