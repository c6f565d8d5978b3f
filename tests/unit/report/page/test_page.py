"""The page as text: what is embedded, what is on it, and that nothing in it can end a part of it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from observer.model.events import Event
from observer.model.machine import Outcome
from observer.report.page.page import MARKER, Wish, embeddable, page_of
from observer.report.page.sources import embedded
from observer.report.source import Sources
from observer.story.glossary import GLOSSARY
from observer.story.phrases import PHRASES
from tests.builders import held, meta, site, story_run
from tests.unit.report.page.test_packed import unpacked


def page(events: Iterable[Event] = (), wish: Wish | None = None, **fields: Any) -> str:
    kept = list(events) or story_run()
    outcome = Outcome(0, None, "exit", len(kept), 0.062)
    return page_of(meta(outcome=outcome, **fields), held(kept), wish or Wish(sources=Path("/proc/nowhere")))


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


def test_json_cannot_end_what_it_stands_in() -> None:
    text = embeddable({"a": "</script><!--&\u2028\u2029", "b": "\udcff"})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text)["a"] == "</script><!--&\u2028\u2029"


def test_the_page_is_one_of_ours_and_asks_nothing_of_anybody() -> None:
    text = page()
    assert text.splitlines()[1] == MARKER
    assert re.findall(r"(?:src|href)=[\"']?([^\"' >]*)", text.partition("<script type")[0]) == ["#run", "#terms"]
    assert "url(http" not in text
    assert "innerHTML" not in text


def test_the_policy_allows_the_pages_own_style_and_script_alone() -> None:
    text = page()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    parts = [re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("style", "script")]
    hashes = [b64encode(sha256(part.encode()).digest()).decode() for (part,) in parts]
    policy = policy.replace("&#39;", "'")
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; base-uri 'none'; "
        "form-action 'none'"
    )
    assert not re.findall(r"\s(?:style|on\w+)=\"", text.partition("<script type")[0])


def test_pieces_pages_and_levels_are_on_it() -> None:
    (process,) = data_of(page())["processes"]
    assert len(unpacked(process["pieces"]["start"], rising=True)) == 21
    assert sum(unpacked(process["pieces"]["size"])) == 100 + 30011 + 100 + 17 * 31013 + 2097169
    assert unpacked(process["levels"]["asked"])[-1] == 0
    assert max(unpacked(process["levels"]["heap"])) == 0x21000 * 5
    assert set(unpacked(process["regions"]["kind"])) == {0, 1, 2, 3, 4, 5}
    assert "[heap]" in process["regions"]["names"]


def test_the_whole_run_is_told_without_a_script() -> None:
    text = page()
    for words in (
        "21 malloc, 21 free",
        "story.c:44",
        "527,221",
        "Every piece was given back.",
        "COMPLETE",
        "6.1.0-13-amd64",
    ):
        assert words in text, words


def test_what_was_never_given_back_is_told_with_its_place() -> None:
    events = story_run()
    text = page(events[: next(e.n for e in events if e.__struct_config__.tag == "call") + 1])
    assert re.search(r'<th scope="row">story.c:28</th><td class="number">100</td><td class="number">1</td>', text)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_page_is_in_one_language(language: str) -> None:
    text = page(wish=Wish(language, Path("/proc/nowhere")))
    assert f'<html lang="{language}">' in text
    assert str(PHRASES[language]["two_levels"]) in text
    assert all(term.words(language).name in text for term in GLOSSARY.values())
    assert data_of(text)["text"] == PHRASES[language]


def test_every_phrase_is_there_and_none_is_left_over() -> None:
    folder = Path(str(files("observer.report.page")))
    script = "".join(path.read_text(encoding="utf-8") for path in (folder / "script").iterdir())
    python = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    used = {
        *re.findall(r"TEXT\.(\w+)", script), *re.findall(r"\bt\.(\w+)", (folder / "page.html").read_text()),
        *re.findall(r"\bt\[\"(\w+)\"\]", python), "predictor_book", "predictor_glibc", "skipped_pieces", "skipped_pages",
        "skipped_processes", "ended_exit", "ended_killed", "ended_stopped", "ended_cut_off",
    }  # fmt: skip
    assert used == set(PHRASES["en"])


def test_a_run_without_events_is_a_page_too() -> None:
    text = page_of(meta(outcome=Outcome(None, None, "cut off", 0, 0.0)), held([]), Wish(sources=Path("/proc/nowhere")))
    assert "the recording was cut off" in text


def test_sources_come_from_beneath_the_folder_and_look_like_source(tmp_path: Path) -> None:
    (tmp_path / "story.c").write_text("one\x0c\ttwo\u2028three\n" + "z" * 1000 + "\nlast\n")
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "link.c").symlink_to("/etc/passwd")
    sites = [site(1), site(2, "/x/secret"), site(3, "/x/link.c"), site(4, "/x/../../etc/passwd"), site(5, "/x/gone.c")]
    (source,) = embedded(sites, Sources(tmp_path))
    assert source["path"] == "/home/ada/story.c"
    assert source["lines"][0] == "one\\x0c\ttwo\\u2028three"
    assert source["lines"][1] == "z" * 400 + "… (+600)"
    assert source["lines"][2:] == ["last"]
