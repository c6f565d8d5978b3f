"""What programs held at the peak and never freed, and how often they asked, beside valgrind's and heaptrack's counts.

Both are preloaded and change the program's environment, so the programs here are such as do not copy that. heaptrack
brings the C++ library along, whose pool for exceptions is one call more in each program.
"""

from __future__ import annotations

import json
import os
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
MODULE = re.compile(r"\(in .*/([^/]*)\)$")
"""At the end of a frame of dhat's that has no source line, as those of packaged programs have none."""
ALLOCATORS = ("vgpreload", "libc.so", "ld-linux")
ROOMS = r"""
#include <stdlib.h>
#include <string.h>
static void *kept[101], *big[3];
static void *small(void) { return memset(malloc(19), 1, 19); }
static void *grown(void *old, size_t size) { return realloc(old, size); }
static void *large(void) { return malloc(1 << 20); }
static void brief(void) { free(memset(malloc(1003), 1, 1003)); }
int main(void)
{
    void *piece = NULL;
    for (int i = 0; i < 101; i++)
        kept[i] = small();
    for (int i = 0; i < 997; i++)
        brief();
    for (size_t size = 1009; size < 100 * 1009; size *= 2)
        piece = grown(piece, size);
    for (int i = 0; i < 3; i++)
        big[i] = large();
    *(volatile char *)big[0] = 1;
    free(big[1]);
    free(big[2]);
    free(piece);
    for (int i = 0; i < 61; i++)
        free(kept[i]);
    return 0;
}
"""
AT_PEAK = {"small": (101 * 19, 101), "grown": (64 * 1009, 1), "large": (3 << 20, 3)}
"""Bytes and pieces by function."""
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
        module, frame = next((name, frame) for name, frame in frames if not name.startswith(ALLOCATORS))
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
    [told] = rows(observed, "--peak")
    assert told["live_bytes"] == places.peak


def held_by_dhat(report: Path) -> Counter[str]:
    """Return the bytes that valgrind's dhat found alive at the peak, by the innermost module outside the C library.

    It counts what realloc moved where the piece was first asked for, so that lines cannot be compared.
    """
    found = json.loads(report.read_text())
    held: Counter[str] = Counter()
    for point in found["pps"]:
        files = [MODULE.search(found["ftbl"][number]) for number in point["fs"]]
        held[next(file[1] for file in files if file is not None and not file[1].startswith(ALLOCATORS))] += point["gb"]
    return +held


@pytest.mark.skipif(which("valgrind") is None, reason="valgrind is not installed")
def test_dhat_finds_the_same_alive_at_the_peak(command: tuple[str, ...], observed: Recorded, tmp_path: Path) -> None:
    report = tmp_path / "dhat.json"
    run_peer(*VALGRIND, "--tool=dhat", "--num-callers=30", f"--dhat-out-file={report}", *command)
    [told] = rows(observed, "--peak")
    held: Counter[str] = Counter()
    for place in told["places"]:
        held[place["site"]["module"]] += place["peak_bytes"]
    assert held == held_by_dhat(report)
    assert told["live_bytes"] == held.total()


@pytest.mark.skipif(which("valgrind") is None, reason="valgrind is not installed")
def test_massif_finds_the_same_peak(command: tuple[str, ...], observed: Recorded, tmp_path: Path) -> None:
    report = tmp_path / "massif"
    run_peer(*VALGRIND, "--tool=massif", "--peak-inaccuracy=0.0", f"--massif-out-file={report}", *command)
    levels = [int(level) for level in re.findall(r"^mem_heap_B=(\d+)", report.read_text(), re.MULTILINE)]
    [told] = rows(observed, "--peak")
    assert max(levels) == told["live_bytes"]


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Recorded]:
    """A program whose functions hold so many bytes each at the peak, and its trace."""
    folder = tmp_path_factory.mktemp("rooms")
    (folder / "rooms.c").write_text(ROOMS)
    subprocess.run(["gcc", "-g", "-O0", "-fno-builtin", "-o", "rooms", "rooms.c"], cwd=folder, check=True)
    found = run_observer((str(folder / "rooms"),), folder / "trace", options=("-q",))
    found.assert_balanced()
    return str(folder / "rooms"), found


def test_the_peak_is_made_of_what_the_program_says(rooms: tuple[str, Recorded]) -> None:
    [told] = rows(rooms[1], "--peak")
    assert {
        place["site"]["function"]: (place["peak_bytes"], place["peak_pieces"]) for place in told["places"]
    } == AT_PEAK
    assert (told["live_bytes"], told["live_pieces"]) == (
        sum(size for size, _ in AT_PEAK.values()), sum(pieces for _, pieces in AT_PEAK.values())
    )  # fmt: skip


@pytest.mark.skipif(which("heaptrack") is None, reason="heaptrack is not installed")
def test_heaptrack_finds_the_same_functions_at_the_peak(rooms: tuple[str, Recorded], tmp_path: Path) -> None:
    run_peer("heaptrack", "-o", str(tmp_path / "record"), rooms[0])
    [record] = tmp_path.glob("record*")
    stacks = tmp_path / "stacks"
    run_peer("heaptrack_print", "-f", str(record), "--flamegraph-cost-type", "peak", "-F", str(stacks))
    held: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        stack, _, size = line.rpartition(" ")
        held[stack.rstrip("; ").rpartition(";")[2].partition(" ")[0]] += int(size)
    assert {name: held[name] for name in AT_PEAK} == {name: size for name, (size, _) in AT_PEAK.items()}
    assert held.total() == POOL + sum(size for size, _ in AT_PEAK.values())


def test_lifetimes_and_sizes_are_those_that_the_program_has(rooms: tuple[str, Recorded]) -> None:
    lives = {row["site"]["function"]: row for row in rows(rooms[1], "--lifetimes") if "place" in row}
    assert {name: (sum(row["events"]), row["never"]) for name, row in lives.items()} == {
        "small": (61, 40), "grown": (7, 0), "large": (2, 1), "brief": (997, 0)
    }  # fmt: skip
    assert lives["brief"]["events"][0] == 997
    sizes = {row["least_chunk"]: (row["calls"], row["lost_bytes"]) for row in rows(rooms[1], "--sizes")}
    assert sizes[32] == (101, 101 * (24 - 19))
    assert sizes[1024] == (999, 997 * (1016 - 1003) + 1016 - 1009 + 2024 - 2018)
    assert sum(calls for calls, _lost in sizes.values()) == 101 + 7 + 3 + 997


def test_what_was_never_touched_is_whole_pages_of_its_pieces(rooms: tuple[str, Recorded]) -> None:
    page = os.sysconf("SC_PAGESIZE")
    [large] = [row for row in rows(rooms[1], "--top", "untouched") if row["site"]["function"] == "large"]
    assert large["untouched_bytes"] == 3 * ((1 << 20) - page)
