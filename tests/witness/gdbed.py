"""What gdb says of a program that dies by a signal."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tests.recordings import environment_of_commands
from tests.witness.told import facts_of

_ASKED = (
    "set startup-with-shell off",
    "run",
    'printf "\\nis signo %d\\n", $_siginfo.si_signo',
    'printf "is code %d\\n", $_siginfo.si_code',
    'printf "is address %lu\\n", (unsigned long)$_siginfo._sifields._sigfault.si_addr',
    'printf "is pc %lu\\n", (unsigned long)$pc',
    'printf "is cs %d\\n", $cs & 0xffff',
    "x/i $pc",
    'printf "is line of the instruction\\n"',
    "info line *$pc",
    'printf "is line of the return address\\n"',
    "info line *(*(unsigned long *)$sp - 1)",
)
_LINE = re.compile(r'^Line (?P<line>\d+) of "(?P<file>[^"]+)" ')


@dataclass(frozen=True)
class Stop:
    """Where and why a program stopped, in gdb's words; *file* and *line* are None where no code of a known source is.

    *called_from* is the line of the call whose return address lies on top of the stack, if it is one: for a jump to
    where no code is, the line that jumped.
    """

    signal: str
    number: int
    code: int
    address: int
    pc: int
    instruction: str
    file: str | None
    line: int | None
    called_from: int | None
    cs: int
    facts: dict[str, str]

    @property
    def mnemonic(self) -> str:
        return self.instruction.split()[0]


def faulting(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Stop:
    """Run *program* under gdb until a signal stops it."""
    words = [word for asked in _ASKED for word in ("-ex", asked)]
    done = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", *words, "--args", program, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        env={**environment_of_commands(), "DEBUGINFOD_URLS": "", "LC_ALL": "C", **(environment or {})},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    signal = re.search(r"^Program received signal (SIG\w+),", done.stdout, re.MULTILINE)
    assert signal is not None, f"no signal stopped {program} {arguments}: {done.stdout} {done.stderr}"
    values = {name: int(value) for name, value in re.findall(r"^is (\w+) (\d+)$", done.stdout, re.MULTILINE)}
    instruction = next(line for line in lines if line.startswith("=> ")).partition(":")[2]
    here = _LINE.match(lines[lines.index("is line of the instruction") + 1])
    caller = _LINE.match("".join(lines[lines.index("is line of the return address") + 1 :][:1]))
    return Stop(
        signal[1], values["signo"], values["code"], values["address"], values["pc"], " ".join(instruction.split()),
        here and here["file"], here and int(here["line"]), caller and int(caller["line"]), values["cs"], facts_of(done.stdout),
    )  # fmt: skip
