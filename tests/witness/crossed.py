"""All system calls of a command, task by task: as strace -f tells them, and as the observer has recorded them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from observer.model.events import Syscall
from observer.story.wording import error_name
from tests.recordings import Recorded, environment_of_commands

_LINE = re.compile(r"^(?P<tid>\d+)\s+(?P<rest>.*)$")
_CALL = re.compile(r"^(?P<name>\w+)\((?P<args>.*)\)\s+= (?P<result>-?\w+|\?)(?: (?P<error>E[A-Z0-9]+))?")
_FLAGS = re.compile(r"^(?:[A-Z][A-Za-z0-9_]*|0x[0-9a-f]+|0)(?:\|(?:[A-Z][A-Za-z0-9_]*|0x[0-9a-f]+))*$")
_NUMBER = re.compile(r"^(?:-?\d+|0x[0-9a-f]+)$")
_INET = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)')
_INET6 = re.compile(r'sin6_port=htons\((\d+)\).*inet_pton\(AF_INET6, "([^"]+)"')
_UNIX = re.compile(r"sa_family=AF_UNIX(?:, sun_path=(@?\".*\"))?\}$")
_OWN_IN_EACH_RUN = frozenset({
    "getpid", "getppid", "gettid", "set_tid_address", "clone", "clone3", "fork", "vfork", "wait4", "waitpid", "times",
    "time", "getpgrp", "getpgid", "getsid", "setsid",
})  # fmt: skip
"""Calls whose results are other numbers in every run."""


@dataclass(frozen=True)
class Crossed:
    """One system call: result None when it did not come back, the error's name or ``."""

    name: str
    arguments: tuple[str, ...]
    result: int | None
    error: str

    @property
    def outcome(self) -> tuple[str, int | None, str]:
        """What must be the same in every run without address randomisation."""
        return self.name, 0 if self.name in _OWN_IN_EACH_RUN and self.result else self.result, self.error


def strace_tasks(
    command: Sequence[str], folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> list[list[Crossed]]:
    """Run *command* under strace -f without address randomisation; return its calls, one list a task."""
    output = folder / "strace.txt"
    subprocess.run(
        ["setarch", "-R", "strace", "-f", "-qq", "-e", "signal=none", *options, "-o", str(output), *command],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, env={**environment_of_commands(), **(environment or {})},
    )  # fmt: skip
    tasks: dict[str, list[Crossed]] = {}
    begun: dict[str, str] = {}
    for line in output.read_text(errors="surrogateescape").splitlines():
        match = _LINE.match(line)
        if match is None or match["rest"].startswith(("+++", "---", "strace:")):
            continue
        tid, rest = match["tid"], match["rest"]
        if rest.endswith("<unfinished ...>"):
            begun[tid] = rest.removesuffix("<unfinished ...>").rstrip()
            continue
        if rest.startswith("<..."):
            rest = begun.pop(tid) + rest.partition("resumed>")[2]
        tasks.setdefault(tid, []).append(_crossed(rest))
    for tid, rest in begun.items():
        tasks.setdefault(tid, []).append(_crossed(f"{rest}) = ?"))
    assert tasks, "strace saw nothing: the comparison would prove nothing"
    first, *others = tasks.values()
    # The first is the exec of the command itself, before anything is observed.
    return [first[1:] if first[0].name == "execve" else first, *others]


def _crossed(text: str) -> Crossed:
    call = _CALL.match(text)
    assert call is not None, text
    result = None if call["result"] == "?" else _value(call["result"])
    return Crossed(call["name"], tuple(split(call["args"])), result, call["error"] or "")


def observed_tasks(recorded: Recorded) -> list[list[Crossed]]:
    """Return the same of a recording."""
    tasks: dict[int, list[Crossed]] = {}
    for call in recorded.syscalls:
        tasks.setdefault(call.tid, []).append(crossed_of(call))
    return list(tasks.values())


def crossed_of(call: Syscall) -> Crossed:
    """Return an event as strace would write it: -1 and the error's name for a call that failed."""
    if call.name == "socketcall" and call.decoded and call.decoded[0].startswith("SYS_"):
        # strace shows i386's door to all of them as the call that goes through it.
        call = msgspec.structs.replace(call, name=call.decoded[0].removeprefix("SYS_").lower(), decoded=())
    failed = call.errno is not None
    result = -1 if failed else call.result
    return Crossed(call.name, call.decoded or (), result, error_name(call.errno) if call.errno is not None else "")


def split(text: str) -> list[str]:
    """Return arguments that commas separate, not those inside brackets or quotes."""
    found, depth, quoted, word, at = [], 0, False, "", 0
    while at < len(text):
        letter = text[at]
        if quoted and letter == "\\":
            word += text[at : at + 2]
            at += 2
            continue
        quoted ^= letter == '"'
        depth += (letter in "([{") - (letter in ")]}") if not quoted else 0
        if letter == "," and not depth and not quoted:
            found.append(word.strip())
            word = ""
        else:
            word += letter
        at += 1
    return [*found, word.strip()] if word.strip() else found


def disagreement(ours: str, theirs: str) -> str | None:
    """Return what is wrong with our words for an argument, beside strace's; None when they say the same.

    Structures and lists that only strace takes apart are not compared.
    """
    theirs = re.sub(r" /\* .* \*/$", "", theirs)
    if theirs.startswith('"') or ours.startswith('"'):
        same = ours == theirs
    elif theirs.startswith("{sa_family="):
        same = ours == _address(theirs)
    elif theirs.startswith(("{", "[", "~[", "(")) or " => " in theirs or "(" in theirs:
        return None
    elif _NUMBER.match(theirs) and _NUMBER.match(ours):
        same = ours == theirs or _value(ours) == _value(theirs)
    elif _FLAGS.match(theirs) or _FLAGS.match(ours):
        same = set(ours.split("|")) == set(theirs.split("|"))
    else:
        same = ours == theirs
    return None if same else f"{ours} is {theirs}"


def _address(text: str) -> str:
    """Return strace's words for a socket's address as the observer writes them."""
    if match := _INET.search(text):
        return f"{{AF_INET, {match[2]}:{match[1]}}}"
    if match := _INET6.search(text):
        return f"{{AF_INET6, [{match[2]}]:{match[1]}}}"
    if match := _UNIX.search(text):
        return f"{{AF_UNIX, {match[1] or chr(34) * 2}}}"
    return "{" + text[1:-1].removeprefix("sa_family=").partition(",")[0] + "}"


def _value(text: str) -> int:
    return int(text, 8) if text.isdigit() and text.startswith("0") else int(text, 0)
