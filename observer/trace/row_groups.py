"""One Parquet file made of the row groups of several: their bytes are copied, and only what says where they lie is new.

A Parquet file is the word PAR1, the pages of its row groups, what is known of them (FileMetaData of parquet.thrift, in
Thrift's compact protocol), the length of that, and PAR1 again. All places in it are counted from the file's beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from observer.files import File, NewFile

__all__ = ["MAGIC", "Described", "Stretch", "closing_of", "closing_of_some", "described", "stretch_of"]

MAGIC: Final = b"PAR1"

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_SCHEMA, _NUM_ROWS, _ROW_GROUPS = 2, 3, 4
_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_SIZE, _ORDINAL = 1, 3, 5, 6, 7
_DEEPEST: Final = 16
_META_DATA: Final = 3
_CHUNK_OFFSETS: Final = (2, 4, 6)
"""file_offset, offset_index_offset and column_index_offset of a ColumnChunk."""
_META_OFFSETS: Final = (9, 10, 11, 14)
"""data_page_offset, index_page_offset, dictionary_page_offset and bloom_filter_offset of its ColumnMetaData."""

_Fields = dict[int, tuple[int, Any]]
"""A struct: type and value by the number of the field."""


class Stretch:
    """Row groups of one file within another one: `start` and `length` of their bytes there, and how many `rows`.

    `schema` is what any file with these columns says of itself, `groups` the descriptions of the row groups as they lie
    in the other file.
    """

    __slots__ = ("groups", "length", "rows", "schema", "start")

    def __init__(self, file: File, start: int, like: Stretch | None) -> None:
        size = file.size
        length = int.from_bytes(file.read_at(size - 8, 4), "little")
        self.start, self.length = start, size - 8 - length - len(MAGIC)
        fields = _Reader(file.read_at(size - 8 - length, length)).struct()
        self.rows: int = fields.pop(_NUM_ROWS)[1]
        _list, (_of, groups) = fields.pop(_ROW_GROUPS)
        self.groups = [_moved(group, start - len(MAGIC)) for group in groups]
        self.schema: _Fields = like.schema if like is not None and like.schema == fields else fields

    def alone(self) -> bytearray:
        """Return what has to follow its bytes in a file of its own."""
        groups = [_moved(_Reader(group).struct(), len(MAGIC) - self.start) for group in self.groups]
        return _closing(self.schema, self.rows, groups)


def stretch_of(file: File, whole: NewFile, like: Stretch | None) -> Stretch:
    """Append the row groups of *file* to *whole*; raises OSError when there is no room.

    *like* is a stretch with the same columns, if there is one: what both say is held once.
    """
    if not whole.size:
        whole.append(MAGIC)
    stretch = Stretch(file, whole.size, like)
    whole.append(file.read_at(len(MAGIC), stretch.length))
    return stretch


def closing_of(stretches: Sequence[Stretch]) -> bytearray:
    """Return what has to follow in a file for it to have the row groups of *stretches* (one or more), in this order.

    Raises:
        ValueError: they have different columns.
    """
    each = [stretch for stretch in stretches if stretch.rows] or stretches[:1]
    if any(stretch.schema[_SCHEMA] != each[0].schema[_SCHEMA] for stretch in each):
        raise ValueError("row groups of different columns make no file")
    groups = [group for stretch in each for group in stretch.groups]
    return _closing(each[0].schema, sum(stretch.rows for stretch in each), groups)


class Described(NamedTuple):
    """A row group: how many `rows` it has, where its bytes lie in the file (`start`, `size`), and its description among
    what is known of the file (from `at` to `end`)."""

    rows: int
    start: int
    size: int
    at: int
    end: int


def described(known: bytes) -> tuple[bytes, list[Described]]:
    """Return what any file with the same columns begins to say of itself, and the row groups that *known* tells of.

    What else is known of them is passed over, of which there may be very much.

    Raises:
        ValueError, IndexError: it is nothing that could be known of a file, or not where its row groups lie.
    """
    reader, number, head = _Reader(known), 0, 0
    while number < _NUM_ROWS:
        head = reader.at
        number, kind = reader.field(number)
        reader.skip(kind)
    groups = []
    number, kind = reader.field(number)
    if (number, kind) != (_ROW_GROUPS, _LIST):
        raise ValueError("no row groups are where they are to be")
    inner, count = reader.items()
    for _ in range(count):
        at, told = reader.at, reader.numbers(inner)
        groups.append(Described(told[_GROUP_ROWS], told[_GROUP_OFFSET], told[_GROUP_SIZE], at, reader.at))
    return known[:head], groups


def closing_of_some(head: bytes, groups: Sequence[Described], descriptions: bytes) -> bytearray:
    """Return what has to follow in a file in which only these *groups* are, in their old places: with the *head* and
    their *descriptions* that the whole file has.
    """
    made = bytearray(head)
    made += bytes([1 << 4 | _I64]) + _whole(sum(group.rows for group in groups))
    made += bytes([1 << 4 | _LIST, 15 << 4 | _STRUCT]) + _varint(len(groups)) + descriptions + b"\0"
    made += len(made).to_bytes(4, "little") + MAGIC
    return made


def _closing(schema: _Fields, rows: int, groups: list[bytes]) -> bytearray:
    fields = {**schema, _NUM_ROWS: (_I64, rows), _ROW_GROUPS: (_LIST, (_STRUCT, groups))}
    made = _struct(dict(sorted(fields.items())))
    made += len(made).to_bytes(4, "little") + MAGIC
    return made


def _moved(group: _Fields, by: int) -> bytes:
    """Return the description of a row group that lies *by* bytes further behind."""
    _move(group, by)
    return bytes(_struct(group))


def _move(group: _Fields, by: int) -> None:
    group.pop(_ORDINAL, None)
    _shift(group, (_GROUP_OFFSET,), by)
    for chunk in group[_COLUMNS][1][1]:
        _shift(chunk, _CHUNK_OFFSETS, by)
        _shift(chunk[_META_DATA][1], _META_OFFSETS, by)


def _shift(fields: _Fields, numbers: Iterable[int], by: int) -> None:
    for number in numbers:
        kind, value = fields.get(number, (_I64, 0))
        if value:  # 0 stands for a place that is not told
            fields[number] = kind, value + by


_SHORT: Final = [bytes([value]) for value in range(0x80)]


class _Reader:
    """Reads Thrift's compact protocol from *data*."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _varint(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        if byte < 0x80:
            return byte
        value, shift = byte & 0x7F, 7
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _whole(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _bytes(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    @property
    def at(self) -> int:
        """How many bytes were read."""
        return self._at

    def field(self, number: int) -> tuple[int, int]:
        """Return number and type of the field that comes next, 0 and 0 where there is none, behind the field *number*.

        Raises:
            ValueError: there is none.
        """
        head = self._data[self._at]
        self._at += 1
        if not head:
            raise ValueError("a struct ends too early")
        return number + (head >> 4) if head >> 4 else self._whole(), head & 15

    def items(self) -> tuple[int, int]:
        """Return the type and the number of what is in a list that begins here."""
        head = self._data[self._at]
        self._at += 1
        return head & 15, head >> 4 if head >> 4 < 15 else self._varint()

    def numbers(self, kind: int) -> dict[int, int]:
        """Return the whole numbers in the struct (*kind*) that comes next, by field."""
        found, number, data = dict[int, int](), 0, self._data
        if kind != _STRUCT:
            raise ValueError("a row group is not described by a struct")
        while data[self._at]:
            number, inner = self.field(number)
            if inner in (_I16, _I32, _I64):
                found[number] = self._whole()
            else:
                self.skip(inner)
        self._at += 1
        return found

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value of this *kind*."""
        data = self._data
        if kind in (_I16, _I32, _I64):
            while data[self._at] > 0x7F:
                self._at += 1
            self._at += 1
        elif kind == _BINARY:
            length = self._varint()
            self._at += length
        elif kind == _STRUCT and depth < _DEEPEST:
            while head := data[self._at]:
                self._at += 1
                if not head >> 4:
                    self._whole()
                if head & 15 not in (_TRUE, _FALSE):
                    self.skip(head & 15, depth + 1)
            self._at += 1
        elif kind in (_LIST, _SET) and depth < _DEEPEST:
            inner, count = self.items()
            for _ in range(count):
                self.skip(inner, depth + 1)
        elif kind == _DOUBLE:
            self._at += 8
        elif kind in (_TRUE, _FALSE, _BYTE):
            self._at += 1
        else:
            raise ValueError(f"Parquet's metadata has no fields of type {kind} here")

    def struct(self) -> _Fields:
        """Return the struct that comes next."""
        fields: _Fields = {}
        number = 0
        data = self._data
        while head := data[self._at]:
            self._at += 1
            number = number + (head >> 4) if head >> 4 else self._whole()
            kind = head & 15
            fields[number] = kind, kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        self._at += 1
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (_I16, _I32, _I64):
            return self._whole()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct()
        if kind in (_LIST, _SET):
            head = self._bytes(1)[0]
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return head & 15, [self._value(head & 15) for _ in range(count)]
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._bytes(1)
        raise ValueError(f"Parquet's metadata has no fields of type {kind}")


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _SHORT[value]
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _whole(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _struct(fields: _Fields) -> bytearray:
    made, before = bytearray(), 0
    for number, (kind, value) in fields.items():
        head = (_TRUE if value else _FALSE) if kind in (_TRUE, _FALSE) else kind
        if 0 < number - before < 16:
            made.append((number - before) << 4 | head)
        else:
            made.append(head)
            made += _whole(number)
        before = number
        if kind not in (_TRUE, _FALSE):
            made += _written(kind, value)
    made.append(0)
    return made


def _written(kind: int, value: Any) -> bytes | bytearray:
    if kind in (_I16, _I32, _I64):
        return _whole(value)
    if kind == _BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == _STRUCT:
        return bytes(value) if isinstance(value, bytes) else _struct(value)
    if kind in (_LIST, _SET):
        inner, values = value
        made = bytearray([min(len(values), 15) << 4 | inner])
        made += _varint(len(values)) if len(values) > 14 else b""
        for each in values:
            made += _written(inner, each)
        return made
    whole: bytes = value
    return whole
