"""System-call arguments in words: names of flags, file names, the first bytes of buffers, socket addresses."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from typing import Final

from observer.code.captures import wanted_of
from observer.code.flags import SOCKET_CALLS, family_name, fcntl_argument, formatters_of, plain
from observer.code.prototypes import parameters_of

__all__ = ["decode"]

_QUOTED: Final = 32
_NAMED_BYTES: Final = {9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_OCTAL_DIGITS: Final = frozenset(bytes([digit]) for digit in b"01234567")
_GETTING_INTO: Final = frozenset({"F_GETLK", "F_GETLK64", "F_OFD_GETLK", "F_GETOWN_EX", "F_GET_RW_HINT"})
_FUTEX_TAKES: Final = {"FUTEX_WAKE": 3, "FUTEX_WAIT": 4}


def decode(
    name: str, args: tuple[int, ...], read: Mapping[int, tuple[str, bytes]], result: int | None
) -> tuple[str, ...]:
    """Return the arguments of a call in words, one text each.

    Args:
        args: the argument words, as many as the call takes.
        read: by argument, what lies there (see `captures.Wanted`) and the bytes that were read.
        result: what the call came back with, None when it did not.
    """
    formatters = formatters_of(name)
    if formatters is None:
        return tuple(plain(word) for word in args)
    words = [form(word) for form, word in zip(formatters, args, strict=False)]
    if name in ("fcntl", "fcntl64") and (form := fcntl_argument(words[1])) is not None:
        words[2] = form(args[2])
    for index, what, length in wanted_of(name, 64):
        # Of nothing there is nothing to read, wherever the pointer leads.
        is_empty = (what == "in" and args[length] == 0) or (what == "out" and result == 0)
        if is_empty and args[index]:
            words[index] = '""'
    for index, (what, data) in read.items():
        text = _READ[what](data, args, result)
        if text is not None and index < len(words):
            words[index] = text
    return tuple(words[: _taken(name, words)])


def _taken(name: str, words: list[str]) -> int:
    """Return how many arguments the kernel looks at; the registers of the others hold anything."""
    if name in ("open", "openat"):
        return len(words) if "O_CREAT" in words[-2] or "O_TMPFILE" in words[-2] else len(words) - 1
    if name in ("fcntl", "fcntl64"):
        return 2 if words[1].startswith("F_GET") and words[1] not in _GETTING_INTO else 3
    if name.startswith("futex"):
        return _FUTEX_TAKES.get(words[1].partition("|")[0].removesuffix("_PRIVATE"), len(words))
    return len(words)


def _quoted(data: bytes, *, is_cut: bool) -> str:
    text = "".join(_escaped(byte, data[at : at + 1]) for at, byte in enumerate(data, start=1))
    return f'"{text}"' + ("..." if is_cut else "")


def _escaped(byte: int, following: bytes) -> str:
    named = _NAMED_BYTES.get(byte)
    if named is not None or 32 <= byte < 127:
        return named or chr(byte)
    # Before an octal digit all three are written, or it would be read as one of them.
    return f"\\{byte:03o}" if following in _OCTAL_DIGITS else f"\\{byte:o}"


def _path(data: bytes, _args: tuple[int, ...], _result: int | None) -> str | None:
    text, end, _rest = data.partition(b"\0")
    return _quoted(text, is_cut=not end)


def _bytes_in(data: bytes, _args: tuple[int, ...], _result: int | None) -> str | None:
    return _quoted(data[:_QUOTED], is_cut=len(data) > _QUOTED)


def _bytes_out(data: bytes, _args: tuple[int, ...], result: int | None) -> str | None:
    return None if result is None or result < 0 else _quoted(data[:_QUOTED], is_cut=len(data) > _QUOTED)


def _address(data: bytes, _args: tuple[int, ...], result: int | None) -> str | None:
    if len(data) < 2 or (result is not None and result < 0 and data[:2] == b"\0\0"):
        return None
    family = struct.unpack_from("<H", data)[0]
    if family == int(socket.AF_INET) and len(data) >= 8:
        port = struct.unpack_from(">H", data, 2)[0]
        return f"{{AF_INET, {socket.inet_ntop(socket.AF_INET, data[4:8])}:{port}}}"
    if family == int(socket.AF_INET6) and len(data) >= 24:
        port = struct.unpack_from(">H", data, 2)[0]
        return f"{{AF_INET6, [{socket.inet_ntop(socket.AF_INET6, data[8:24])}]:{port}}}"
    if family == int(socket.AF_UNIX):
        name = data[2:]
        path = b"@" + name[1:].split(b"\0", 1)[0] if name[:1] == b"\0" else name.split(b"\0", 1)[0]
        return f"{{AF_UNIX, {_quoted(path, is_cut=False)}}}"
    return f"{{{family_name(family)}}}"


def _times(layout: str) -> Callable[[bytes, tuple[int, ...], int | None], str | None]:
    def text(data: bytes, _args: tuple[int, ...], _result: int | None) -> str | None:
        if len(data) < struct.calcsize(layout):
            return None
        seconds, fraction = struct.unpack_from(layout, data)
        return f"{{{seconds}, {fraction}}}"

    return text


def _pair(data: bytes, _args: tuple[int, ...], result: int | None) -> str | None:
    return f"[{', '.join(map(str, struct.unpack_from('<ii', data)))}]" if len(data) >= 8 and result == 0 else None


def _words(data: bytes, args: tuple[int, ...], _result: int | None) -> str | None:
    name = SOCKET_CALLS.get(args[0])
    count = len(parameters_of(name) or ()) if name else 0
    if len(data) < 4 * count:
        return None
    return f"[{', '.join(plain(word) for word in struct.unpack_from(f'<{count}I', data))}]"


_READ: Final[dict[str, Callable[[bytes, tuple[int, ...], int | None], str | None]]] = {
    "path": _path, "in": _bytes_in, "out": _bytes_out, "address": _address, "times": _times("<qq"),
    "time32": _times("<ii"), "pair": _pair, "words": _words,
}  # fmt: skip
