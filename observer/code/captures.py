"""Which bytes of the program an argument points to: what has to be read while it is stopped, to tell the call in words.

Read at the call's return, when the kernel has used them, and only from pages that are there: so that it is never the
observer who brings a page in, and the fault that the program or the kernel takes there stays theirs. Only what execve
names is read at its entry, since it replaces the memory.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from observer.code.prototypes import Parameter, parameters_of, takes_path

__all__ = ["KINDS", "Wanted", "length_of", "wanted_of"]

_STRING: Final = 160
_PREFIX: Final = 40
_ADDRESS: Final = 110  # sockaddr_un, the longest that people meet

KINDS: Final = ("path", "in", "out", "address", "times", "time32", "pair", "words")

Wanted = tuple[int, str, int]
"""An argument's index, what lies there, and the index of its length.

What: one of KINDS: a file's name, bytes that the kernel reads (`in`) or writes (`out`), a socket's address, times,
a pair of descriptors, the words that socketcall(2) takes its arguments from.
"""

_BYTES_IN: Final = {
    "write": (1, 2), "pwrite64": (1, 2), "sendto": (1, 2), "send": (1, 2), "setsockopt": (3, 4),
}  # fmt: skip
_BYTES_OUT: Final = {
    "read": (1, 2), "pread64": (1, 2), "recvfrom": (1, 2), "recv": (1, 2), "getcwd": (0, 1), "readlink": (1, 2),
    "readlinkat": (2, 3), "getrandom": (0, 1),
}  # fmt: skip
# Other strings than files' names.
_STRINGS: Final = frozenset({
    *((f"{how}{kind}xattr", "name") for how in ("", "l", "f") for kind in ("get", "set", "remove")),
    ("memfd_create", "uname"), ("memfd_create", "uname_ptr"),
})  # fmt: skip
_PAIRS: Final = {"pipe": 0, "pipe2": 0, "socketpair": 3}
_TIMES: Final = {"struct timespec *", "const struct timespec *", "struct timeval *"}
# Of these the second time is only written when the sleep was cut short.
_FIRST_TIME_ONLY: Final = frozenset({"nanosleep", "clock_nanosleep", "clock_nanosleep_time64"})


@cache
def wanted_of(name: str, bits: int) -> tuple[Wanted, ...]:
    """Return what to read of a call's arguments; *bits* (64 or 32) is how wide the caller's words are."""
    if name == "socketcall":
        return ((1, "words", 0),)
    parameters = parameters_of(name) or ()
    found = [_wanted(name, i, parameter, bits) for i, parameter in enumerate(parameters)]
    if name in _FIRST_TIME_ONLY:
        found = found[:-1]
    return tuple(each for each in found if each is not None)


def _wanted(name: str, index: int, parameter: Parameter, bits: int) -> Wanted | None:
    kind, word = parameter
    if takes_path(name, parameter) or (name, word) in _STRINGS:
        return index, "path", 0
    for table, what in ((_BYTES_IN, "in"), (_BYTES_OUT, "out")):
        if name in table and table[name][0] == index:
            return index, what, table[name][1]
    if kind == "struct sockaddr *":
        return index, "address", index + 1
    if kind in _TIMES:
        return index, "time32" if bits == 32 and not name.endswith("64") else "times", 0
    return (index, "pair", 0) if _PAIRS.get(name) == index else None


def length_of(wanted: Wanted, args: tuple[int, ...], result: int | None) -> int:
    """Return how many bytes to read for *wanted* of a call that came back with *result* (None: not yet)."""
    _index, what, length = wanted
    fixed = {"path": _STRING, "times": 16, "time32": 8, "pair": 8, "words": 48}
    if what in fixed:
        return fixed[what]
    if what == "in":
        return min(args[length], _PREFIX)
    if what == "out":
        return min(max(result or 0, 0), _PREFIX)
    return _ADDRESS
