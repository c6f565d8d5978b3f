"""The trace files of the CS:APP malloc lab (`.rep`): `a id bytes`, `r id bytes`, `f id` after four numbers of header.

The header is: a suggested heap size (unused by the lab itself), the number of ids, the number of operations, a weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from observer.errors import BadWorkload
from observer.simulator.workload import Operation, parse, read_lines

__all__ = ["parse_rep", "read_operations", "render_rep"]

_HEADER: Final = 4
_FORMS: Final = {b"a": ("malloc", 3), b"r": ("realloc", 3), b"f": ("free", 2)}
_LONGEST: Final = 4096
_MOST: Final = (1 << 63) - 1


def parse_rep(lines: Iterable[bytes]) -> Iterator[Operation]:
    """Yield the operations of a .rep file; block 7 becomes the piece `b7`. Realloc of a free id is malloc, as there.

    Raises:
        BadWorkload: at the first line that is not of this format.
    """
    held: set[bytes] = set()
    left = _HEADER
    for number, raw in enumerate(lines, 1):
        if len(raw) > _LONGEST:
            raise BadWorkload(f"longer than {_LONGEST} bytes", "this is no .rep file", line=number)
        words = raw.split()
        if not words:
            continue
        if left:
            _number(words[0], "the header's number", number)
            left -= 1
            if len(words) != 1:
                raise BadWorkload("the header has one number a line", "", "four lines of header", line=number)
            continue
        yield _operation(words, held, number)
    if left:
        raise BadWorkload(f"the header has {_HEADER - left} numbers", "this is no .rep file", "four lines of header")


def read_operations(file: BinaryIO, suffix: str) -> Iterator[Operation]:
    """Yield the operations in an open binary file: a .rep file by its *suffix*, else a workload.

    Raises:
        BadWorkload: as `parse` and `parse_rep`.
    """
    return (parse_rep if suffix == ".rep" else parse)(read_lines(file))


def _operation(words: list[bytes], held: set[bytes], line: int) -> Operation:
    form = _FORMS.get(words[0])
    if form is None or len(words) != form[1]:
        raise BadWorkload(f"{b' '.join(words[:4])!r} is no operation", "", "a ID BYTES, r ID BYTES or f ID", line=line)
    kind, identity = form[0], words[1]
    _number(identity, "id", line)
    name = f"b{identity.decode()}"
    if kind == "free":
        held.discard(identity)
        return Operation(kind, name, (), line)
    if kind == "realloc" and identity not in held:
        kind = "malloc"
    held.add(identity)
    return Operation(kind, name, (_number(words[2], "size", line),), line)


def _number(word: bytes, role: str, line: int) -> int:
    if not word.isdigit() or len(word) > 20 or int(word) > _MOST:
        raise BadWorkload(f"{word[:40]!r} is no {role}", "", "digits", line=line)
    return int(word)


def render_rep(operations: Iterable[Operation]) -> bytes:
    """Return *operations* as a .rep file. Touches, mappings and forks have no place in it and are left out.

    >>> render_rep([Operation("calloc", "x", (10, 16)), Operation("touch", "x"), Operation("free", "x")])
    b'0\\n1\\n2\\n1\\na 0 160\\nf 0\\n'
    """
    identities: dict[str, int] = {}
    lines = bytearray()  # not a list: there may be millions
    count = told = 0
    for operation in operations:
        kind, numbers = operation.kind, operation.numbers
        if kind in ("malloc", "calloc", "memalign"):
            identity = identities[operation.name] = count
            count += 1
            lines += b"a %d %d\n" % (identity, numbers[0] * numbers[1] if kind == "calloc" else numbers[-1])
        elif kind == "realloc" and operation.name in identities:
            lines += b"r %d %d\n" % (identities[operation.name], numbers[0])
        elif kind == "free" and operation.name in identities:
            lines += b"f %d\n" % identities.pop(operation.name)
        else:
            continue
        told += 1
    return b"0\n%d\n%d\n1\n" % (count, told) + lines
