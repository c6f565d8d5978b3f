"""What is known of the code of address spaces, anew whenever a file was mapped there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from observer.instruments.chains import Code
from observer.instruments.places import CodeMap
from observer.tracee.inline.space import Space

__all__ = ["CodeOfSpaces"]

_MOST_SPACES: Final = 64

Known = TypeVar("Known")


class CodeOfSpaces(Generic[Known]):
    """What *known_of* makes of the code of each space, for as long as that has the same images."""

    def __init__(self, known_of: Callable[[Code], Known]) -> None:
        self._known_of = known_of
        self._spaces: dict[Space, tuple[int, Known]] = {}

    def of(self, space: Space) -> Known:
        """Return what is known of *space*."""
        count, known = self._spaces.get(space, (-1, None))
        if known is None or count != len(space.images):
            known = self._begin(space)
        return known

    def _begin(self, space: Space) -> Known:
        if len(self._spaces) >= _MOST_SPACES:
            self._spaces.clear()
        code = CodeMap()
        for image in space.images:
            code.add(image)
        known = self._known_of(code)
        self._spaces[space] = len(space.images), known
        return known
