"""What programs never freed, and how often they asked, beside valgrind's and heaptrack's counts of the same runs.

Both are preloaded and change the program's environment, so the programs here are such as do not copy that. heaptrack
brings the C++ library along, whose pool for exceptions is one call more in each program.
"""

from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from observer.story.places import Places
from tests.conftest import ROOT
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer

SCRIPT = (
    "create table t(a, b); with recursive n(i) as (select 1 union all select i + 1 from n where i < 301)"
    " insert into t select i, hex(zeroblob(i % 97)) from n; create index x on t(b); select count(*) from t;"
)
COMMANDS = {
    "sqlite3": ("/usr/bin/sqlite3", ":memory:", SCRIPT),
    "mawk": ("/usr/bin/mawk", 'BEGIN { for (i = 0; i < 500; i++) a[i] = i "x"; print length(a) }'),
    "grep": ("/usr/bin/grep", "-c", "root", "/etc/passwd"),
    "find": ("/usr/bin/find", "/etc/apt"),
    "sort": ("/usr/bin/sort", "/etc/passwd"),
    "diff": ("/usr/bin/diff", "/etc/passwd", "/etc/group"),
}
VALGRIND = ("valgrind", "--run-libc-freeres=no", "--run-cxx-freeres=no")
POOL = 72_704
"""Bytes that the C++ library of GCC 5 and later sets aside as it is loaded."""


Sites = Counter[tuple[str, int, int]]
"""How many places of a module left so many pieces, of so many bytes."""


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found = COMMANDS[request.param]
    if not Path(found[0]).exists():
        pytest.skip(f"{found[0]} is not installed")
    return found


@pytest.fixture(scope="module")
def observed(command: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    found = run_observer(command, tmp_path_factory.mktemp("peers") / "trace", options=("-q",))
    found.assert_balanced()
    return found


def rows(found: Recorded, *part: str) -> list[dict[str, Any]]:
    shown = subprocess.run(
        [*OBSERVER, "show", str(found.directory), *part, "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in shown.stdout.splitlines()]


def run_peer(*words: str) -> str:
    """Return what a peer says, which runs in the same environment."""
    done = subprocess.run(
        words, env=environment_of_commands(), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=100, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def left_by_valgrind(report: Path) -> Sites:
    """Return what valgrind found left behind, by the innermost frame outside the C library, as `--leaks` has it."""
    left: Counter[tuple[str, str]] = Counter()
    pieces: Counter[tuple[str, str]] = Counter()
    for error in ElementTree.parse(report).iter("error"):
        stack, size, count = (error.find(name) for name in ("stack", "xwhat/leakedbytes", "xwhat/leakedblocks"))
        if stack is None or size is None or count is None:
            continue
        frames = [(Path(frame.findtext("obj") or "?").name, frame) for frame in stack]
        module, frame = next(
            (name, frame) for name, frame in frames if not name.startswith(("vgpreload", "libc.so", "ld-linux"))
        )
        place = module, frame.findtext("fn") or frame.findtext("ip") or "?"
        left[place] += int(size.text or 0)
        pieces[place] += int(count.text or 0)
    return Counter((place[0], pieces[place], left[place]) for place in left)


@pytest.mark.skipif(which("valgrind") is None, reason="valgrind is not installed")
def test_valgrind_finds_the_same_left_at_the_same_places(
    command: tuple[str, ...], observed: Recorded, tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    run_peer(
        *VALGRIND, "--leak-check=full", "--show-leak-kinds=all", "--num-callers=30", "--xml=yes", f"--xml-file={report}",
        *command,
    )  # fmt: skip
    left = rows(observed, "--leaks")
    assert Counter((row["site"]["module"], row["live_pieces"], row["live_bytes"]) for row in left) == left_by_valgrind(
        report
    )
    assert left


@pytest.mark.skipif(which("valgrind") is None, reason="valgrind is not installed")
def test_valgrind_counts_the_same_calls_and_bytes(command: tuple[str, ...], observed: Recorded) -> None:
    [total] = re.findall(r"total heap usage: (.*)", run_peer(*VALGRIND, *command))
    made, freed, asked = (int(word.replace(",", "")) for word in re.findall(r"([\d,]+) (?:allocs|frees|bytes)", total))
    places = rows(observed, "--top", "calls")
    assert (sum(row["calls"] for row in places), sum(row["bytes"] for row in places)) == (made, asked)
    assert made - freed == sum(row["live_pieces"] for row in places)


@pytest.mark.skipif(which("heaptrack") is None, reason="heaptrack is not installed")
def test_heaptrack_counts_the_same_calls_and_the_same_peak(
    command: tuple[str, ...], observed: Recorded, tmp_path: Path
) -> None:
    run_peer("heaptrack", "-o", str(tmp_path / "record"), *command)
    [record] = tmp_path.glob("record*")
    told = run_peer("heaptrack_print", "-f", str(record))
    [calls] = re.findall(r"^calls to allocation functions: (\d+)", told, re.MULTILINE)
    [peak] = re.findall(r"^peak heap memory consumption: ([\d.]+)K", told, re.MULTILINE)
    places = Places()
    for event in observed.events:
        places.add(event)
    assert int(calls) - 1 == sum(place.calls for place in places.places.values())
    assert float(peak) * 1000 == pytest.approx(places.peak + POOL, abs=10)
