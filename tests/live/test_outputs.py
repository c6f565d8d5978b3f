"""Standard output that cannot be written: one line says so, for every verb, and nothing else is blamed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

OBSERVER = (sys.executable, "-m", "observer")


@pytest.fixture(scope="module")
def trace(sample: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs") / "story.trace"
    subprocess.run([*OBSERVER, "run", "-q", "-o", folder, "--", sample("story")], check=True)
    return folder


@pytest.fixture(params=["open for reading", "full", "as long as it may be"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """A descriptor to which nothing can be written."""
    target = tmp_path / "output"
    target.write_bytes(bytes(8192))
    ways = {"open for reading": (target, os.O_RDONLY), "full": ("/dev/full", os.O_WRONLY)}
    path, how = ways.get(request.param, (target, os.O_WRONLY | os.O_APPEND))
    descriptor = os.open(path, how)
    yield descriptor
    os.close(descriptor)


VERBS = (
    ("show", "@"), ("show", "@", "--json"), ("query", "@", "from faults", "--csv"), ("query", "@", "from faults"),
    ("export", "@", "--to", "pprof"), ("export", "--schema"), ("report", "@", "-o", "-"), ("compare", "@", "--json"),
    ("simulate", "six_steps"), ("simulate", "@", "--print", "workload"), ("doctor", "--json"), ("lab", "list"),
    ("completion", "bash"), ("--version",),
)  # fmt: skip


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_an_output_that_cannot_be_written_is_said(words: tuple[str, ...], trace: Path, output: int) -> None:
    command = [*OBSERVER, *(str(trace) if word == "@" else word for word in words)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    done = subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1])),
    )  # fmt: skip
    told = done.stderr.splitlines()
    assert (done.returncode, len(told), told[-1].startswith("observer: cannot write the output: ")) == (125, 1, True)


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("--version",)])
def test_help_that_cannot_be_written_is_a_failure(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "observer", *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (125, "observer: cannot write the output: No space left on device\n")


def test_a_low_limit_is_not_blamed_on_the_trace(sample: Callable[[str], str], tmp_path: Path) -> None:
    def observer(limit: str, *words: str) -> list[str]:
        command = ["sh", "-c", f'{limit}; exec "$@"', "sh", sys.executable, "-m", "observer", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        return [str(done.returncode), *done.stderr.splitlines()]

    assert observer("true", "run", "-q", "-o", "t", "--", sample("story")) == ["0"]
    status, *_, why, remedy = observer("ulimit -n 12", "show", "t")
    assert (status, why.rpartition(": ")[2]) == ("125", "Too many open files")
    assert remedy == "  try: ulimit -n with a larger number"
    status, *_, why, remedy = observer("ulimit -f 1", "run", "-q", "-o", "u", "--", sample("story"))
    assert (status, why.rpartition(": ")[2]) == ("125", "File too large")
    assert remedy == "  try: ulimit -f with a larger number"


LATIN = {**os.environ, "PYTHONIOENCODING": "latin-1"}
"""A terminal that has no letter for much of what is told."""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--help",), b"observer VERB [options] \\u2026"),
        (("query", "@", "select chr(10003)", "--csv"), "\n✓\n".encode()),
        (("lab", "grade", "@/no.handin", "--format", "html"), "✓".encode()),
        (("lab", "grade", "@/é.handin", "--format", "junit"), "é.handin".encode()),
    ],
)
def test_what_an_output_has_no_letter_for_is_escaped_and_documents_are_utf_8(
    words: tuple[str, ...], told: bytes, trace: Path
) -> None:
    for name in ("no.handin", "é.handin"):
        (trace.parent / name).write_text("{}")
    command = [*OBSERVER, *(word.replace("@/", f"{trace.parent}/").replace("@", str(trace)) for word in words)]
    done = subprocess.run(command, capture_output=True, env=LATIN, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
    assert told in done.stdout


def test_questions_in_korean_are_asked_where_there_are_no_korean_letters(tmp_path: Path) -> None:
    subprocess.run(
        [*OBSERVER, "lab", "start", "first_malloc", "mine"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL
    )
    command = [*OBSERVER, "lab", "predict", "mine", "--lang", "ko"]
    done = subprocess.run(command, cwd=tmp_path, input=b"", capture_output=True, env=LATIN, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"observer: the input ended before all was predicted")
