"""Workloads: what a program asks of memory, one operation a line.

    malloc a 100          # a piece named a; sizes may end in K, M or G
    calloc b 10 16
    memalign c 64 1000
    realloc a 200
    free a
    touch a               # write its first byte; touch a 4096 writes the byte there, touch a 0 8192 every page of 8 KiB
    read a 0 8            # the same, reading

    map m 64K             # mmap(2), private and anonymous
    populate m 64K        # the same with MAP_POPULATE
    shared m 64K          # shared and anonymous
    file m 64K            # a private mapping of a file of that size, read from the page cache
    stack s 64K           # the next bytes below the stack
    unmap m
    readonly m, noaccess m, writable m      # mprotect(2)
    lock m, unlock m                        # mlock(2)
    dontneed a, lazyfree a                  # madvise(2) on the whole pages of a piece or a mapping
    hugepage m, nohugepage m

    fork                  # what follows happens in a child, until
    exit                  # then the parent goes on

An access that the machine forbids (`noaccess m`, then `touch m`) ends its process, as a segmentation fault does. Text
to operations to text is the identity, but for comments and blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

import msgspec

from observer.errors import BadWorkload

__all__ = ["FORMS", "Operation", "parse", "parse_line", "read_lines", "render"]

_SIZED: Final = ("map", "populate", "shared", "file", "stack")
_NAMED: Final = (
    "free", "unmap", "readonly", "noaccess", "writable", "lock", "unlock", "dontneed", "lazyfree", "hugepage",
    "nohugepage",
)  # fmt: skip
FORMS: Final[dict[str, tuple[str, ...]]] = {
    "malloc": ("name", "size"), "calloc": ("name", "count", "size"), "memalign": ("name", "alignment", "size"),
    "realloc": ("name", "size"), "touch": ("name", "offset?", "length?"), "read": ("name", "offset?", "length?"),
    **dict.fromkeys(_SIZED, ("name", "size")), **dict.fromkeys(_NAMED, ("name",)), "fork": (), "exit": (),
}  # fmt: skip
"""The words that follow each operation; those with `?` may be left out."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NUMBER: Final = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})([KMG]?)\Z")
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LONGEST: Final = 4096
_LARGEST: Final = (1 << 63) - 1
_SURELY_SMALL: Final = 16
"""Fewer decimal digits than this need no second look."""


class Operation(msgspec.Struct, frozen=True):
    """One operation: its kind, the piece it names (or ``), its numbers in the order of the text, its line."""

    kind: str
    name: str = ""
    numbers: tuple[int, ...] = ()
    line: int = 0


def _number(text: str, words: list[str], index: int, form: tuple[str, ...], line: int) -> int:
    word, role = words[index], form[index - 1].rstrip("?")
    match = _NUMBER.match(word)
    if match is None:
        raise BadWorkload(
            f"{word!r} is not a {role}", "", "a number such as 100, 0x64, 4K or 2M",
            line=line, column=_column(text, index),
        )  # fmt: skip
    value = int(match[1], 0 if match[1][:2].lower() == "0x" else 10) * _UNITS[match[2]]
    if value > _LARGEST:
        raise BadWorkload(
            f"{role} {word} is larger than any object", "", f"at most {_LARGEST}",
            line=line, column=_column(text, index),
        )  # fmt: skip
    return value


def parse_line(text: str, line: int = 1) -> Operation | None:
    """Return the operation on a line, or None for a blank or a comment.

    >>> parse_line("malloc a 4K  # a page")
    Operation(kind='malloc', name='a', numbers=(4096,), line=1)

    Raises:
        BadWorkload: with line, column and what was expected there.
    """
    words = text.partition("#")[0].split()
    if not words:
        return None
    form = FORMS.get(words[0])
    if form is None:
        known = ", ".join(FORMS)
        raise BadWorkload(f"{words[0]!r} is no operation", "", f"one of {known}", line=line, column=_column(text, 0))
    given = len(words) - 1
    if given != len(form) and not sum(not role.endswith("?") for role in form) <= given <= len(form):
        column = _column(text, len(form) + 1) if given > len(form) else len(text.partition("#")[0].rstrip()) + 1
        raise BadWorkload(
            f"{words[0]} with {given} words after it", "", " ".join([words[0], *(role.upper() for role in form)]),
            line=line, column=column,
        )  # fmt: skip
    if not form:
        return Operation(words[0], "", (), line)
    if not _NAME.match(words[1]):
        column = _column(text, 1)
        raise BadWorkload(f"{words[1]!r} is no name", "", "letters, digits and _", line=line, column=column)
    numbers = tuple(
        int(words[i]) if words[i].isdecimal() and len(words[i]) < _SURELY_SMALL else _number(text, words, i, form, line)
        for i in range(2, len(words))
    )
    return Operation(words[0], words[1], numbers, line)


def _column(text: str, index: int) -> int:
    """Return where the word with that index begins, counted from 1."""
    return [match.start() + 1 for match in re.finditer(r"\S+", text)][index]


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of an open binary file; one without line ends is not read whole, but in parts of 64 KiB."""
    while line := file.readline(1 << 16):
        yield line


def parse(lines: Iterable[bytes]) -> Iterator[Operation]:
    """Yield the operations of a workload as they come; *lines* may be an open binary file of any size.

    Raises:
        BadWorkload: at the first line that is not text or not an operation.
    """
    for number, raw in enumerate(lines, 1):
        if len(raw) > _LONGEST:
            raise BadWorkload(f"longer than {_LONGEST} bytes", "this is not a workload", line=number)
        try:
            text = raw.decode("ascii")
        except UnicodeDecodeError as error:
            raise BadWorkload("not plain text", "this is not a workload", line=number, column=error.start + 1) from None
        operation = parse_line(text, number)
        if operation is not None:
            yield operation


def render(operations: Iterable[Operation]) -> str:
    """Return the text of *operations*, one a line.

    >>> render([Operation("calloc", "b", (10, 16)), Operation("fork")])
    'calloc b 10 16\\nfork\\n'
    """
    return "".join(
        " ".join([operation.kind, *([operation.name] if operation.name else []), *map(str, operation.numbers)]) + "\n"
        for operation in operations
    )
