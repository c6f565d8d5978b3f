"""Arguments in words: how strings are written, and which of the registers count."""

from __future__ import annotations

import pytest

from observer.code.arguments import decode


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\0", '"plain"'),
        (b"\x01\x01" + b"2\0", r'"\1\0012"'),
        (b"\x009\0", '""'),
        (b'\t\n\x0b\x0c\r"\\\0', r'"\t\n\v\f\r\"\\"'),
        (b"\x1b[31m\xff\0", r'"\33[31m\377"'),
        (b"cut", '"cut"...'),
    ],
)
def test_a_path_is_written_as_strace_writes_it(data: bytes, text: str) -> None:
    assert decode("chdir", (0x1000,), {0: ("path", data)}, 0) == (text,)


def test_of_nothing_there_is_nothing_to_read() -> None:
    assert decode("write", (1, 0x1000, 0), {}, 0) == ("1", '""', "0")
    assert decode("write", (1, 0, 0), {}, 0) == ("1", "NULL", "0")
    assert decode("read", (3, 0x1000, 9), {}, 0) == ("3", '""', "9")
    assert decode("read", (3, 0x1000, 9), {}, -14) == ("3", "0x1000", "9")


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("fcntl", (3, 1, 0x55), ("3", "F_GETFD")),
        ("fcntl", (3, 2, 1), ("3", "F_SETFD", "FD_CLOEXEC")),
        ("fcntl", (3, 4, 0o4001), ("3", "F_SETFL", "O_WRONLY|O_NONBLOCK")),
        ("fcntl", (3, 0, 10), ("3", "F_DUPFD", "0xa")),
        ("futex", (0x1000, 129, 1, 7, 8, 9), ("0x1000", "FUTEX_WAKE_PRIVATE", "1")),
        ("futex", (0x1000, 128, 2, 0, 8, 9), ("0x1000", "FUTEX_WAIT_PRIVATE", "2", "NULL")),
        ("pipe2", (0x1000, 0), ("0x1000", "0")),
        ("dup2", (3, 0xFFFF_FFFF), ("3", "-1")),
        ("socket", (1, 1, 0), ("AF_UNIX", "SOCK_STREAM", "0")),
        ("getrusage", (1, 0x1000), ("RUSAGE_THREAD", "0x1000")),
        ("chown32", (0, 1, 2), ("NULL", "1", "2")),
    ],
)
def test_names_and_only_the_registers_that_count(name: str, args: tuple[int, ...], words: tuple[str, ...]) -> None:
    assert decode(name, args, {}, 0) == words
