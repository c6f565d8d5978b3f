"""A run as one HTML file that needs no other: data, words, style and script are in it, and nothing may be fetched."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from observer.compare.result import Comparison
from observer.compare.rows import Aligned
from observer.model.events import Event, Site
from observer.model.filenames import safe
from observer.model.ledger import headline
from observer.model.machine import Meta
from observer.model.stacks import CallStack
from observer.report.jsonl import encoded
from observer.report.page.columns import cut
from observer.report.page.gathered import Gathered, gather
from observer.report.page.memory import memory_data
from observer.report.page.moments import MOST, Moments
from observer.report.page.sections import (
    compared_section,
    departures_section,
    leaks_section,
    machine_section,
    sites_section,
    totals_section,
)
from observer.report.page.sources import embedded
from observer.report.source import Sources
from observer.story.glossary import GLOSSARY
from observer.story.language import LANGUAGES
from observer.story.phrases import phrases_in
from observer.story.wording import number

__all__ = ["MARKER", "Wish", "embeddable", "page_of"]

MARKER: Final = "<!-- a page of malloc-observer, schema 1 -->"
"""By it a page is known as one of ours."""
_SCRIPTS: Final = ("data", "state", "words", "story", "source", "space", "strip", "chart", "life", "compare", "main")
_RARE: Final = frozenset({"process", "signal", "lost"})
_UNSAFE: Final = "<>&\u2028\u2029"

_Events = Callable[[frozenset[str] | None], Iterable[Event]]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a page is to be: `language` en or ko, `sources` the folder of the program's source files, None: as compiled.

    `most` is how many moments it has at most, beside the rare events.
    """

    language: str = "en"
    sources: Path | None = None
    most: int = MOST


def page_of(
    meta: Meta, events: _Events, wish: Wish, compared: tuple[Comparison, Aligned] | None = None,
    stacks: Mapping[int, CallStack] | None = None,
) -> str:  # fmt: skip
    """Return the page of a run.

    Args:
        meta: of the run.
        events: yields the events of some kinds (None: all) in order of n, from the beginning each time.
        wish: how the page is wanted.
        compared: the run beside a reference machine, with its rows.
        stacks: those of its calls by their numbers, where callers were kept.
    """
    total = meta.outcome.events
    rare = [event.n for event in events(_RARE)] if total > wish.most else []
    gathered = gather(meta, events(None), Moments(total, rare, wish.most), LANGUAGES[wish.language], stacks or {})
    return _rendered(gathered, wish, compared)


def _rendered(gathered: Gathered, wish: Wish, compared: tuple[Comparison, Aligned] | None) -> str:
    meta, t, language = gathered.meta, phrases_in(wish.language), LANGUAGES[wish.language]
    skipped: dict[str, int] = {"processes": gathered.spans.left_out}
    processes = memory_data(gathered.spans, gathered.levels, gathered.events, gathered.paths, skipped)
    sources = embedded(gathered.events.sites, Sources(wish.sources, meta.images))
    section = compared_section(*compared, t) if compared is not None else None
    data = {
        "text": t, "events": gathered.events.data(), "sites": list(map(_site, gathered.events.sites)),
        "processes": processes, "sources": sources, "page_size": meta.machine.page_size,
        "last_n": max(gathered.events.numbers_of, default=0), "compared": section,
    }  # fmt: skip
    style, script = (
        _read("page.css"),
        "".join(("'use strict';\n", *(_read("script", f"{name}.js") for name in _SCRIPTS))),
    )
    page: str = _template().render(
        **_frame(gathered, wish, skipped), t=t, processes=[f"{_base(p['path'])} {p['pid']}" for p in processes],
        sources=sources, compared=section, totals=totals_section(gathered, t, language),
        sites=sites_section(gathered), leaks=leaks_section(gathered),
        departures=departures_section(gathered, language), ledger=meta.ledger, verdict=headline(meta.ledger),
        machine=machine_section(meta, t), css=Markup(style), script=Markup(script), data=Markup(embeddable(data)),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
        "form-action 'none'",
    )  # fmt: skip
    return page


def embeddable(data: dict[str, Any]) -> str:
    """Return *data* as JSON in which nothing can end, or begin, a part of the page around it."""
    text = encoded(data).decode("utf-8")
    for char in _UNSAFE:
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _frame(gathered: Gathered, wish: Wish, skipped: dict[str, int]) -> dict[str, Any]:
    meta, t = gathered.meta, phrases_in(wish.language)
    command = meta.request.command
    return {
        "marker": Markup(MARKER), "lang": wish.language, "title": cut(_base(command[0]) if command else "?", 80),
        "facts": _facts(meta, t), "shown": _shown(gathered, t, skipped), "steps": LANGUAGES[wish.language].steps,
        "terms": {id: term.words(wish.language) for id, term in GLOSSARY.items()},
        "ids": {id: id.replace(" ", "-") for id in GLOSSARY},
    }  # fmt: skip


def _facts(meta: Meta, t: dict[str, Any]) -> list[str]:
    outcome = meta.outcome
    detail = outcome.status if outcome.ended == "exit" else outcome.signal
    ended = t.get(f"ended_{outcome.ended.replace(' ', '_')}", "{0}").format(detail)
    facts = [t["events_total"].format(number(outcome.events)), ended, f"{t['ledger']}: {headline(meta.ledger)}"]
    return [cut(fact, 200) for fact in facts]


def _shown(gathered: Gathered, t: dict[str, Any], skipped: dict[str, int]) -> list[str]:
    """Say what of the run is not on the page."""
    moments = gathered.moments
    notes = [t[f"skipped_{what}"].format(number(count)) for what, count in skipped.items() if count]
    if not moments.is_whole:
        kept = len(gathered.events.numbers_of)
        notes.insert(0, t["thinned"].format(number(moments.total), number(kept), number(moments.stride)))
    return notes


def _site(site: Site) -> dict[str, Any]:
    """Return a place as the script reads it; `file` as in the sources."""
    return {
        "text": cut(site.text, 160), "function": cut(site.function or "", 120), "line": site.line or 0,
        "file": safe(site.file) if site.file else "",
    }  # fmt: skip


def _base(path: str) -> str:
    return path.rpartition("/")[2] or path


def _read(*names: str) -> str:
    return files("observer.report.page").joinpath(*names).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = lambda value: "–" if value is None else number(value)
    environment.filters["fill"] = lambda text, *values: text.format(*values)
    environment.filters["safe_text"] = lambda text: cut(text, 2000)
    return environment.from_string(_read("page.html"))
