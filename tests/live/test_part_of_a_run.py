"""Only part of a run: from a place on, until a place, of chosen children alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.live.programs import compile_c
from tests.live.test_ending import LIVELY, RECORDERS, assert_as_alone, assert_closed
from tests.recordings import run_observer

PARTS = (Path(__file__).parent / "parts.c").read_text()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("parts")
    (folder / "parts.c").write_text(PARTS)
    return compile_c(PARTS, folder / "parts")


LINE = 1 + next(i for i, line in enumerate(PARTS.splitlines()) if "the line that is reached" in line)


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize(
    ("place", "mallocs", "frees"), [
        ("work", 50, 0), ("after", 90, 45), (f"<stdin>:{LINE}", 90, 45), ("free", 50, 1), ("puts", 160, 120),
    ],
)  # fmt: skip
def test_until_a_place_everything_is_recorded_and_nothing_behind_it(
    parts: str, place: str, mallocs: int, frees: int, recorder: str, tmp_path: Path
) -> None:
    recorded = run_observer([parts], tmp_path / "t", options=["--until", place, "--recorder", recorder])
    assert (recorded.status, recorded.stdout) == (3, "done\n"), recorded.stderr
    assert_closed(recorded, f"--until {place}")
    assert recorded.trace.meta.request.end_at == place
    made = Counter(call.op for call in recorded.calls if call.origin == "program")
    assert (made["malloc"], made["free"]) == (mallocs, frees)
    assert f"(--until {place})" in " ".join(recorded.stderr.split())


def test_a_place_may_be_reached_by_any_thread_or_child(tmp_path: Path) -> None:
    lively = compile_c(LIVELY, tmp_path / "lively")
    for place in ("handler", "posix_spawn", "changed_code"):
        recorded = run_observer([lively, "1500"], tmp_path / place, options=["--until", place])
        assert_as_alone(recorded, lively, "1500")
        assert_closed(recorded, f"--until {place}")


@pytest.mark.parametrize(
    ("place", "why"), [
        ("never_called", "no file that was loaded has it"), ("parts.c:99999", "no file that was loaded has it"),
        ("abort", "nobody came there"),
    ],
)  # fmt: skip
def test_a_place_that_is_not_reached_is_told(parts: str, place: str, why: str, tmp_path: Path) -> None:
    recorded = run_observer([parts], tmp_path / "t", options=["--until", place])
    assert (recorded.status, recorded.trace.meta.outcome.closed) == (3, "")
    assert f"--until {place}: {why}" in recorded.trace.meta.notes


@pytest.mark.parametrize("place", ["", "two words", "story.c:", "story.c:0", "a/b", ":12"])
@pytest.mark.parametrize("option", ["--until"])
def test_what_is_no_place_is_refused(option: str, place: str, tmp_path: Path) -> None:
    recorded = run_observer(["true"], tmp_path / "t", options=[f"{option}={place}"])
    assert recorded.status == 125
    assert "is no place" in recorded.stderr
    assert f"try: {option} work, or {option} story.c:28" in recorded.stderr
    assert not (tmp_path / "t").exists()
