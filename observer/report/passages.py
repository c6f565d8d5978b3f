"""The story's rows on a terminal: n, step, rings, sentence, under the source line that caused them."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from observer.model.events import Call, Event, Lost, Process, Signal, Site
from observer.model.filenames import typed
from observer.report.kernel_side import kernel_words
from observer.report.screen import heading, paragraph, put, safe
from observer.report.source import Sources
from observer.story.language import ENGLISH, Language
from observer.story.names import Names
from observer.story.rows import Passage, Row
from observer.story.steps import rings_of, step_of
from observer.story.telling import Shortened
from observer.story.wording import moment, number

__all__ = ["StoryPrinter", "legend"]

_STEP_STYLE: Final = {"1-5": "green", "1-2-3-4-5": "yellow", "2-3-4": "yellow", "6": "magenta"}
_STEP_BODY: Final = {"2-3-4": "bold yellow", "2-3": "bold yellow", "6": "magenta"}
_BIRTHS: Final = ("fork", "vfork")
_TEXT_COLUMN: Final = 25
_MOST_ROWS: Final = 12


def legend(console: Console, language: Language = ENGLISH) -> None:
    """Print the book's six steps, which the story's second column refers to."""
    heading(console, language.say("the_steps"), language.say("the_steps_hint"))
    for step, words in language.steps.items():
        paragraph(console, words, first=Text.assemble((f"  {step}", "bold"), "  "), hanging=5)
    paragraph(console, Text(language.say("the_rings"), "dim"), first="  ", hanging=2)


class StoryPrinter:
    """Prints passages as they come, under titles; *directory* is where the whole story is kept."""

    def __init__(
        self, console: Console, names: Names, *, directory: str = "", sources: Sources | None = None,
        language: Language = ENGLISH,
    ) -> None:  # fmt: skip
        self._console = console
        self._names = names
        self._directory = directory
        self._sources = sources
        self._language = language
        self._site: str | None = None

    def finish(self, rest: Shortened) -> None:
        """Print what waited, with a number for what is left out between."""
        where = f": observer show {typed(self._directory)} --all{self._language.option}" if self._directory else ""
        for left_out, passage in rest.told():
            if left_out:
                rows = self._language.counted(left_out, "row")
                put(self._console, f"    {self._language.say('rows_more', rows, where)}", "bold")
                self._site, where = None, ""
            self.add(passage)

    def add(self, passage: Passage) -> None:
        """Print *passage*."""
        rows = list(passage.rows.values())
        if len(rows) > 1:
            self._loop(rows)
            return
        self._source_line(rows[0].first, rows[0])
        self._row(rows[0], "", site=False)

    def _loop(self, rows: list[Row]) -> None:
        self._site = None
        places = list(dict.fromkeys(place for row in rows if (place := _place(row.first))))
        shown = [*places[:3], "..."] if len(places) > 3 else places
        title = self._language.say("loop_at", ", ".join([*shown, *self._task(rows[0].first)]))
        self._titled(self._with_source(title, rows[0].first if len(places) == 1 else None), rows[0].first)
        for row in rows[:_MOST_ROWS]:
            self._row(row, "│ ", site=len(places) > 1)
        if len(rows) > _MOST_ROWS:
            rest = self._language.say("rows_more_in_loop", self._language.counted(len(rows) - _MOST_ROWS, "row"))
            put(self._console, Text(" " * _TEXT_COLUMN + f"│ {rest}", "dim"))

    def _titled(self, title: Text, event: Event) -> None:
        time = moment(event.t_ns)
        title.truncate(max(self._console.width - len(time) - 2, 20), overflow="ellipsis")
        gap = max(self._console.width - title.cell_len - len(time), 1)
        put(self._console, Text.assemble(title, " " * gap, (time, "dim")))

    def _source_line(self, event: Event, row: Row) -> None:
        """Print the source line as a title when it is another one than before."""
        site = None if row.before_main is not None else getattr(event, "site", None)
        task = self._task(event)
        if isinstance(event, Process):
            name = ", ".join(task) or self._language.say("the_process")
        else:
            opening = row.before_main is not None
            name = ", ".join([self._language.say("before_main") if opening else self._title(site), *task])
        if name == self._site:
            return
        self._site = name
        self._titled(self._with_source(name, event), event)

    def _with_source(self, name: str, event: Event | None) -> Text:
        """Return the title *name*, with the text of the source line where that can be had."""
        title = Text(safe(name), "bold cyan")
        site = getattr(event, "site", None)
        if isinstance(site, Site) and self._sources is not None:
            title.append(f"   {safe(self._sources.line(site))}", "not bold default")
        return title

    def _task(self, event: Event) -> list[str]:
        """Name the process and the thread where they are not the first ones."""
        return self._names.of(event.pid, event.tid, self._language)

    def _title(self, site: Site | None) -> str:
        if site is None or site.text == "?":
            return self._language.say("no_source_line")
        return self._language.say("line_in", site.text, site.function) if site.line and site.function else site.text

    def _row(self, row: Row, mark: str, *, site: bool) -> None:
        words = self._language.row(row)
        if isinstance(row.first, Process) and row.first.what in _BIRTHS and row.count == 1 and row.first.child:
            words += f" ({self._names.child(row.first.child, self._language)})"
        if site and (place := _place(row.first)):
            words = self._language.say("row_at", words, place)
        self._line(row, words, mark, None)
        for nested in row.inside.values():
            call = row.first if isinstance(row.first, Call) else None
            self._line(nested, self._language.row(nested), f"{mark}  ", call)

    def _line(self, row: Row, words: str, mark: str, call: Call | None) -> None:
        hidden = row.before_main is not None
        step = "" if hidden else step_of(row.first, call)
        rings = "" if hidden else rings_of(row.first)
        head = Text(f"{number(row.first.n):>7} ", "dim")
        head.append(f"{step:<10}", f"not dim {_STEP_STYLE.get(step, 'default')}")
        head.append(f"{rings:<5}  ", "not dim blue")
        body = Text(safe(words), _style(row.first, step, nested=call is not None))
        self._wrapped(head, body, mark)
        if row.kernel is not None:
            self._wrapped(Text(" " * _TEXT_COLUMN), Text(kernel_words(row.kernel, self._language), "dim"), f"{mark}  ")

    def _wrapped(self, head: Text, body: Text, mark: str) -> None:
        room = self._console.width - _TEXT_COLUMN - len(mark)
        parts = [body] if body.cell_len <= room else body.wrap(self._console, max(room - 2, 16))
        for i, part in enumerate(parts):
            part.rstrip()
            left = head if i == 0 else Text(" " * _TEXT_COLUMN)
            put(self._console, Text.assemble(left, mark, "" if i == 0 else "  ", part))


def _place(event: Event) -> str:
    site = getattr(event, "site", None)
    return site.text if isinstance(site, Site) and site.text != "?" else ""


def _style(event: Event, step: str, *, nested: bool) -> str:
    """Let the rows stand out in which the kernel extends the memory (step 3), and brings it in (step 6)."""
    if isinstance(event, Lost) or (isinstance(event, Signal) and event.fatal):
        return "bold red"
    return _STEP_BODY.get(step, "dim" if nested else "")
