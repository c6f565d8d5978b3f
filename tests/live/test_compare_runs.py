"""Two recorded runs beside each other, and two moments of one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.live.programs import compile_c
from tests.recordings import OBSERVER, environment_of_commands, run_observer

PIECES = """
#include <stdlib.h>
int main(int count, char **words)
{
    long size = atol(words[1]);
    char *first = malloc(size);
    char *second = malloc(200);
    free(first);
    char *third = malloc(3000);
    return !(second && third);
}
"""


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the traces 1000.trace and 5000.trace, named by the size of their first piece."""
    folder = tmp_path_factory.mktemp("runs")
    pieces = compile_c(PIECES, folder / "pieces")
    for size in ("1000", "5000"):
        assert run_observer([pieces, size], folder / f"{size}.trace").status == 0
    return folder


def compared(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*OBSERVER, "compare", *words], capture_output=True, text=True, timeout=100, cwd=folder, check=False,
        env=environment_of_commands(),
    )  # fmt: skip


def told(folder: Path, *words: str) -> tuple[dict[str, Any], dict[str, tuple[dict[str, int], dict[str, int]]]]:
    """Return the whole answer, and what each place came to in both, by the place's last word."""
    done = compared(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    whole = json.loads(done.stdout)
    return whole, {each["place"]: (each["a"], each["b"]) for each in whole["places"]}


def test_two_runs_differ_where_one_asked_for_more(traces: Path) -> None:
    whole, places = told(traces, "1000.trace", "5000.trace")
    assert [whole[run]["name"] for run in "ab"] == ["1000.trace", "5000.trace"]
    assert [whole[run]["bytes"] - whole["a"]["bytes"] for run in "ab"] == [0, 4000]
    [(_place, (before, after))] = [each for each in places.items() if each[1][0]["bytes"] != each[1][1]["bytes"]]
    assert (before["bytes"], after["bytes"], before["calls"], after["calls"]) == (1000, 5000, 1, 1)


@pytest.mark.parametrize(
    "words", [("--at", "malloc #1", "--at", "malloc #3"), ("--at=malloc #1", "--at=malloc #3")], ids=["apart", "joined"]
)
def test_two_moments_of_a_run(traces: Path, words: tuple[str, ...]) -> None:
    whole, places = told(traces, "1000.trace", *words)
    assert {run: (whole[run]["live"], whole[run]["calls"]) for run in "ab"} == {"a": (1000, 1), "b": (3200, 3)}
    assert all(" after event " in whole[run]["name"] for run in "ab")
    live = sorted((before["live"], after["live"]) for before, after in places.values())
    assert live == [(0, 200), (0, 3000), (1000, 0)]


def test_what_cannot_be_two_moments_is_said(traces: Path) -> None:
    for words, status, why in (
        (("1000.trace", "--at", "malloc #1"), 2, "--at is given twice"),
        (("1000.trace", "5000.trace", "--at", "1", "--at", "2"), 2, "--at is about one trace"),
        (("1000.trace", "--at", "malloc #1", "--at", "malloc #99"), 1, "there is no malloc #99"),
        (("1000.trace", "5000.trace", "1000.trace"), 2, "two runs are compared"),
    ):
        done = compared(traces, *words)
        assert done.returncode == status, done.stderr
        assert why in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr
