"""The whole story on a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from observer.model.events import Event
from observer.report.screen import bar, safe
from observer.report.source import Sources
from observer.report.terminal import tell, tell_events
from tests.builders import HEAP, MAP, PID, call, fault, free, lost, meta, process, signal, site, story_run, syscall
from tests.unit.report.screens import ascii_screen, screen


def told(events: list[Event], **options: object) -> str:
    return screen(lambda console: tell_events(console, events, **options))  # type: ignore[arg-type]


def test_the_story_is_told_in_eighty_columns(snapshot: SnapshotAssertion) -> None:
    text = screen(lambda console: tell(console, meta(), story_run(), directory="story.trace"))
    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert text == snapshot


def test_the_story_is_told_in_plain_ascii(snapshot: SnapshotAssertion) -> None:
    assert ascii_screen(lambda console: tell(console, meta(), story_run(), directory="story.trace")) == snapshot


@pytest.mark.parametrize("columns", [50, 60, 100, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    text = screen(lambda console: tell_events(console, story_run()), columns)
    assert max(cell_len(line) for line in text.splitlines()) <= columns


def test_every_row_is_told_on_demand() -> None:
    events: list[Event] = [call(n, site=site(n)) for n in range(500)]
    assert told(events, everything=True).count("malloc(100)") == 500


def test_the_middle_of_a_long_story_is_left_out_and_counted() -> None:
    events: list[Event] = [call(n, result=HEAP + n, site=site(n + 1)) for n in range(500)]
    text = told(events, rows=60, directory="long.trace")
    assert text.count("malloc(100)") == 60
    assert "    ... 440 rows more: observer show long.trace --all\n" in text
    assert "rows more: observer show 'a long one' --all\n" in told(events, rows=60, directory="a long one")
    assert "gets heap+0x1f3\n" in text


def test_a_short_story_is_told_whole() -> None:
    events: list[Event] = [call(n, site=site(n + 1)) for n in range(60)]
    text = told(events, rows=60)
    assert text.count("malloc(100)") == 60
    assert "more" not in text


def test_the_start_up_is_one_row_by_default() -> None:
    assert "21 system calls (10 mprotect, 10 mmap, 1 brk)" in told(story_run())
    assert "before main" not in told(story_run(), everything=True)


def test_a_loop_is_told_as_what_takes_turns() -> None:
    events: list[Event] = [maker(2 * i + j) for i in range(9) for j, maker in enumerate((call, fault))]
    assert told(events).splitlines() == [
        "loop at story.c:28, story.c:29                                            0.0 µs",
        "      0 1-5              │ 9 × malloc(100): 900 bytes, at story.c:28",
        "      1 6         3→0→3  │ 9 page faults: the program writes page 1 of the",
        "                         │   heap, at story.c:29",
    ]


def test_threads_and_processes_are_named_where_they_are_not_the_first() -> None:
    events: list[Event] = [
        call(0),
        process(1, "clone", child=PID + 1),
        call(2, tid=PID + 1),
        process(3, "fork", child=77),
        free(4, HEAP, pid=77, tid=77),
        process(5, "exit", status=0, pid=77, tid=77),
    ]
    titles = [re.sub("  .*", "", line) for line in told(events).splitlines() if not line.startswith(" ")]
    assert titles == [
        "story.c:28 in main",
        "the process",
        "story.c:28 in main, thread 2",
        "the process",
        "story.c:28 in main, child 1",
        "child 1",
    ]


def test_a_fatal_signal_and_a_loss_are_told() -> None:
    text = told([signal(0), lost(1)])
    assert "signal SIGSEGV (SEGV_MAPERR) at 0x0" in " ".join(text.split())
    assert "LOST: 7 events that faults could not record" in text


HOSTILE = "/tmp/[red]e\x1b[31mvil\n\u202e.c"


def test_hostile_names_reach_the_terminal_escaped() -> None:
    bad = site(5, HOSTILE, "f\x9b2Jx\udc80")
    events: list[Event] = [
        process(0, "exec", path=HOSTILE),
        call(1, site=bad),
        fault(2, MAP, mapping=HOSTILE, site=bad),
        syscall(3, "munmap", MAP, 4096, site=bad),
        signal(4, site=bad, instruction="\x1b]0;title\x07"),
    ]
    for text in (told(events), screen(lambda console: tell(console, meta(HOSTILE), events, directory=HOSTILE))):
        assert not [char for char in text if not char.isprintable() and char != "\n"]
        assert "[red]e\\x1b[31mvil\\n\\u202e.c" in text.replace("\n", "")


def test_safe_leaves_ordinary_names_alone() -> None:
    assert safe("/home/ada/할당 été/a-b_c.c") == "/home/ada/할당 été/a-b_c.c"
    assert safe("\x1b[0m\x00\r\n\t\x7f\x9b") == "\\x1b[0m\\x00\\r\\n\\t\\x7f\\x9b"
    assert safe("a\u200bb\u2066\udc80") == "a\\u200bb\\u2066\\udc80"


def test_colour_is_used_on_a_terminal_and_not_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    def render() -> str:
        out = io.StringIO()
        tell_events(Console(file=out, force_terminal=True, color_system="standard", width=80), story_run())
        return out.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[33m" in render()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", render())


def test_source_lines_are_printed_from_the_named_folder_only(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "story.c").write_text("int main(void) {\n    char *p = malloc(100);\n}\n")
    (tmp_path / "secret.c").write_text("the secret\n")
    (tmp_path / "src" / "link.c").symlink_to(tmp_path / "secret.c")
    events: list[Event] = [
        call(0, site=site(2, "/build/ada/story.c")),
        call(1, site=site(1, "../secret.c")),
        call(2, site=site(1, str(tmp_path / "secret.c"))),
        call(3, site=site(1, "link.c")),
        call(4, site=site(99, "story.c")),
    ]
    text = told(events, sources=Sources(tmp_path / "src"))
    assert "story.c:2 in main   char *p = malloc(100);" in text
    assert "secret" not in text.replace("secret.c", "")


def test_bars_are_full_only_for_the_whole() -> None:
    assert bar(999, 1000, 8) == "███████░"
    assert bar(1000, 1000, 8) == "████████"
    assert bar(1, 1 << 40, 8) == "█░░░░░░░"
    assert bar(0, 5, 8) == "░░░░░░░░"
