"""The page of a recorded run, in a browser: every view follows the moment, and nothing leaves the page."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from observer.model.events import Call, Event, Fault, Process, Site, Syscall
from observer.model.machine import Outcome
from observer.model.memory_calls import Advise, Break, Map, Unmap, memory_call
from observer.report.page.columns import cut
from observer.report.page.page import Wish, page_of
from observer.story.breaks import Breaks
from observer.story.korean import korean_sentence
from observer.story.levels import Levels
from observer.story.sentences import sentence
from tests.builders import Script, meta
from tests.builders import site as line_of
from tests.conftest import ROOT, needs_fault_events
from tests.live.browser import Browser, Opened, chromium, needs_browser
from tests.recordings import OBSERVER, Recorded, environment_of_commands

pytestmark = [needs_browser, pytest.mark.timeout(300)]

Write = Callable[..., Path]
PAGE = 4096


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def write(
    recorded: Callable[..., Recorded], sample: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Write:
    """Return a function that has `observer report` write the page of a sample's run."""
    folder = tmp_path_factory.mktemp("pages")

    def write(name: str, *options: str) -> Path:
        target = folder / f"{name}{''.join(options).replace('/', '')}.html"
        if not target.exists():
            trace = recorded(sample(name)).directory
            words = [*OBSERVER, "report", str(trace), "-o", str(target), "--source", str(ROOT / "c_samples"), *options]
            subprocess.run(words, check=True, env=environment_of_commands(), timeout=200)
        return target

    return write


@pytest.fixture(scope="module")
def story(recorded: Callable[..., Recorded], sample: Callable[[str], str]) -> Recorded:
    return recorded(sample("story"))


def moment_of(events: list[Event], line: int) -> int:
    """The first event at a line of story.c."""
    return next(e.n for e in events if isinstance(getattr(e, "site", None), Site) and e.site.text == f"story.c:{line}")  # type: ignore[union-attr]


def line_with(words: str) -> int:
    lines = (ROOT / "c_samples" / "story.c").read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if words in line)


def test_every_view_follows_the_moment(browser: Browser, write: Write, story: Recorded) -> None:
    n = moment_of(story.events, line_with('FACT_LINE("first_malloc")'))
    with browser.open(write("story")) as opened:
        opened.go(n)
        assert opened.text("#sentence") == sentence(story.events[n])
        assert opened.text("#source .now code").startswith("char *first = malloc(100);")
        assert opened.page.get_attribute("#slider", "value") == str(n) or opened.page.input_value("#slider") == str(n)
        assert [opened.page.get_attribute(f'#steps [data-step="{k}"]', "class") for k in range(1, 7)] == [
            "now", "coming", "coming", "coming", "coming", "idle",
        ]  # fmt: skip
        grown = next(e.n for e in story.events if isinstance(e, Syscall) and e.cause == n and e.args[0])
        opened.go(grown)
        assert [opened.page.get_attribute(f'#steps [data-step="{k}"]', "class") for k in range(1, 6)] == [
            "done", "now", "now", "now", "coming",
        ]  # fmt: skip
        assert "3→0→3" in opened.text("#ring-now")
        assert opened.page.get_attribute("#space .region.heap", "class") == "region heap new"
        assert opened.page.is_visible("#break")
        assert opened.page.locator("#pieces .piece.asked").count() == 1
        assert opened.text('#events [aria-current="true"] .told') == opened.text("#sentence")
        assert opened.text("#value-asked") == "100 bytes"
        assert opened.quiet()


CHAINED = """#include <stdlib.h>
__attribute__((noinline)) char *inner(int size) { char *piece = malloc(size); piece[0] = 1; return piece; }
__attribute__((noinline)) char *outer(int size) { char *piece = inner(size); piece[1] = 2; return piece; }
int main(void) { free(outer(300000)); return 0; }
"""


def test_callers_are_told_where_they_were_kept_and_lead_to_their_lines(
    browser: Browser, write: Write, story: Recorded, recorded: Callable[..., Recorded], tmp_path: Path
) -> None:
    (tmp_path / "chained.c").write_text(CHAINED)
    subprocess.run(["gcc", "-g", "-O1", "chained.c", "-o", "chained"], cwd=tmp_path, check=True)
    run = recorded(str(tmp_path / "chained"), options=("--stack", "8"))
    page = tmp_path / "chained.html"
    words = [*OBSERVER, "report", str(run.directory), "-o", str(page), "--source", str(tmp_path)]
    subprocess.run(words, check=True, env=environment_of_commands(), timeout=200)
    asked = next(event.n for event in run.calls if event.size == 300000)
    mapped = next(event.n for event in run.events if isinstance(event, Syscall) and event.cause == asked)
    with browser.open(page) as opened:
        for moment in (asked, mapped):
            opened.go(moment)
            chain = "called by inner chained.c:2 ← outer chained.c:3 ← main chained.c:4"
            assert opened.text("#callers").startswith(chain)
            assert opened.text("#source .now code").startswith("__attribute__((noinline)) char *inner")
            opened.page.click("#callers button:has-text('main')")
            assert opened.text("#source .now code").startswith("int main")
        opened.go(0)
        assert not opened.page.is_visible("#callers")
        assert opened.quiet()
    with browser.open(write("story")) as opened:
        opened.go(moment_of(story.events, line_with('FACT_LINE("first_malloc")')))
        assert not opened.page.is_visible("#callers")


def test_slider_keys_and_play_move_the_moment(browser: Browser, write: Write) -> None:
    with browser.open(write("story")) as opened:
        page, slider = opened.page, lambda: int(opened.page.input_value("#slider"))
        last = page.evaluate("observerPage.count") - 1
        for key, moment in (
            ("End", last),
            ("ArrowLeft", last - 1),
            ("Home", 0),
            ("ArrowRight", 1),
            ("PageDown", 11),
            ("PageUp", 1),
        ):
            page.keyboard.press(key)
            assert slider() == moment, key
        page.locator("#slider").fill("100")
        opened.until("document.getElementById('where-now').textContent.startsWith('event 100 ')")
        page.click("#play")
        opened.until("Number(document.getElementById('slider').value) > 101")
        page.click("#play")
        stopped = slider()
        page.wait_for_timeout(800)
        assert slider() == stopped
        assert opened.quiet()


def test_a_piece_that_is_chosen_tells_its_life(browser: Browser, write: Write, story: Recorded) -> None:
    line = line_with('FACT_LINE("second_malloc")')
    n = moment_of(story.events, line)
    call = story.events[n]
    assert isinstance(call, Call)
    freed = next(e.n for e in story.events if isinstance(e, Call) and e.op == "free" and e.pointer == call.result)
    with browser.open(write("story")) as opened:
        opened.go(n + 3)
        opened.page.locator('#pieces [aria-label^="piece of 29.3 KiB"]').click()
        assert opened.text("#life-title").startswith("Piece of 29.3 KiB at +0x")
        life = opened.text("#life")
        assert f"story.c:{line}" in life
        assert f"event {n} {sentence(call)}" in life
        assert f"event {freed} {sentence(story.events[freed])}" in life
        assert "pages it lies on: 8" in life
        assert opened.page.locator("#pages .page.held").count() >= 1
        opened.page.keyboard.press("Escape")
        assert opened.text("#life-title") == "A life"
        assert opened.quiet()


@needs_fault_events
def test_a_page_that_is_chosen_names_its_frame_once(browser: Browser, write: Write) -> None:
    with browser.open(write("story")) as opened:
        opened.page.keyboard.press("End")
        opened.page.locator("#pages .page").nth(3).click()
        assert opened.text("#life-title").startswith("Page ")
        assert opened.text("#life").count("frame 0x") <= 1
        assert opened.quiet()


def test_regions_to_choose_from_have_different_names(browser: Browser, write: Write) -> None:
    with browser.open(write("threads")) as opened:
        names = opened.page.locator("#region option").all_inner_texts()
        arenas = [name for name in names if "map#" in name]
        assert len(arenas) > 8
        assert len(set(arenas)) == len(arenas)


@needs_fault_events
def test_pieces_and_pages_are_walked_by_keys(browser: Browser, write: Write, story: Recorded) -> None:
    with browser.open(write("story")) as opened:
        opened.go(moment_of(story.events, line_with("block[i][at] = ")) + 3)
        opened.page.focus("#pieces")
        before = opened.page.input_value("#slider")
        for key in ("Home", "ArrowRight", "Enter"):
            opened.page.keyboard.press(key)
        assert opened.text("#life-title").startswith("Piece of 29.3 KiB")
        assert opened.page.evaluate("document.activeElement.id") == "life-title"
        opened.page.focus("#pages")
        opened.page.keyboard.press("Home")
        opened.page.keyboard.press("Enter")
        assert opened.text("#life-title") == "Page 0"
        assert "event" in opened.text("#life")
        assert opened.page.input_value("#slider") == before
        assert opened.quiet()


def test_a_source_line_tells_its_events(browser: Browser, write: Write, story: Recorded) -> None:
    line = line_with("block[i] = malloc(BLOCK)")
    count = sum(1 for e in story.events if getattr(e, "site", None) and e.site.text == f"story.c:{line}")  # type: ignore[union-attr]
    with browser.open(write("story")) as opened:
        opened.go(moment_of(story.events, line))
        opened.page.click(f'#source [data-line="{line}"] .gutter')
        assert opened.text("#life-title") == f"story.c:{line}"
        assert opened.page.locator("#life .moments li").count() == count
        assert opened.quiet()


@pytest.mark.parametrize(("language", "tell"), [("en", sentence), ("ko", korean_sentence)])
def test_every_sentence_is_the_storys_own(
    language: str, tell: Callable[[Event, int | None], str], browser: Browser, write: Write, story: Recorded
) -> None:
    breaks = Breaks()
    expected = [cut(tell(event, breaks.follow(event))) for event in story.events]
    with browser.open(write("story", "--lang", language)) as opened:
        told = opened.page.evaluate("[...Array(observerPage.count).keys()].map((i) => observerPage.sentenceOf(i))")
    assert told == expected
    assert len(set(expected)) > 100


# ---- the state, by another account ----


class Account:
    """What one process holds, kept by plain sizes of pieces and sets of pages: no span is asked."""

    def __init__(self) -> None:
        self.live, self.pages, self.brk = dict[int, int](), set[int](), 0

    def copy(self) -> Account:
        twin = Account()
        twin.live, twin.pages, twin.brk = dict(self.live), set(self.pages), self.brk
        return twin

    def take(self, event: Event) -> None:
        if isinstance(event, Call):
            if event.op in ("free", "realloc") and event.pointer:
                self.live.pop(event.pointer, None)
            if event.result and event.op in ("malloc", "calloc", "realloc"):
                self.live[event.result] = event.bytes_asked
        elif isinstance(event, Fault):
            self.pages.add(event.address // PAGE)
        elif isinstance(event, Syscall) and event.errno is None and event.result is not None:
            self._change(event)

    def _change(self, event: Syscall) -> None:
        call = memory_call(event)
        low = high = 0
        if isinstance(call, (Unmap, Advise)) and not (isinstance(call, Advise) and call.advice != "dontneed"):
            low, high = call.start, call.end
        elif isinstance(call, Map) and call.start is not None:
            low, high = call.start, call.start + call.length
        elif isinstance(call, Break) and call.end is not None:
            low, high, self.brk = call.end, self.brk, call.end
        self.pages = {page for page in self.pages if not -(-low // PAGE) <= page < -(-high // PAGE)}


@pytest.mark.parametrize("name", ["story", "fork_cow", "threads", "trim", "alloc_fragment"])
def test_what_is_held_at_a_moment_agrees_with_another_account(
    name: str, browser: Browser, write: Write, recorded: Callable[..., Recorded], sample: Callable[[str], str]
) -> None:
    run = recorded(sample(name))
    accounts: dict[int, Account] = {}
    levels, latest = Levels(), {}
    first = run.events[0].pid
    asked = {len(run.events) * k // 11 for k in range(11)} | {len(run.events) - 1}
    with browser.open(write(name)) as opened:
        for event in run.events:
            if isinstance(event, Process) and event.what == "fork" and event.child is not None:
                accounts[event.child] = accounts[event.pid].copy()
            accounts.setdefault(event.pid, Account()).take(event)
            level = levels.take(event)
            latest[event.pid] = level or latest.get(event.pid)
            if event.n in asked:
                state = opened.page.evaluate("i => observerPage.stateAt(0, i)", event.n)
                mine = accounts[first]
                assert state["n"] == event.n
                assert len(state["pieces"]) == len(mine.live)
                assert dict(state["pieces"]) == mine.live
                assert {start // PAGE for start in state["pages"]} == mine.pages
                assert latest[first] is None or state["level"] == latest[first]._asdict()
        children = [pid for pid in accounts if pid != first]
        for k, pid in enumerate(children, 1):
            state = opened.page.evaluate("([k, i]) => observerPage.stateAt(k, i)", [k, len(run.events) - 1])
            assert len(state["pieces"]) == len(accounts[pid].live)
            assert {start // PAGE for start in state["pages"]} == accounts[pid].pages
        assert opened.quiet()


# ---- for everyone ----


def violations(opened: Opened) -> list[str]:
    """What axe-core calls serious or critical."""
    from axe_core_python.sync_playwright import Axe

    found = Axe().run(opened.page)["violations"]
    return [
        f"{rule['id']}: {rule['nodes'][0]['html'][:160]} {rule['nodes'][0].get('failureSummary', '')[:300]}"
        for rule in found if rule["impact"] in ("serious", "critical")
    ]  # fmt: skip


@needs_fault_events
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_axe_finds_nothing_serious(scheme: str, language: str, browser: Browser, write: Write, story: Recorded) -> None:
    with browser.open(write("story", "--lang", language, "--compare"), scheme=scheme) as opened:
        opened.go(moment_of(story.events, line_with("block[i][at] = ")) + 3)
        opened.page.focus("#pieces")
        opened.page.keyboard.press("Enter")
        assert violations(opened) == []
        opened.page.click(".term")
        assert opened.page.locator(".popover:popover-open").count() == 1
        assert violations(opened) == []


@pytest.mark.parametrize("width", [360, 700, 900, 1100])
@pytest.mark.parametrize("name", ["story", "fork_cow"])
def test_from_a_phone_on_nothing_sticks_out(name: str, width: int, browser: Browser, write: Write) -> None:
    with browser.open(write(name, "--compare"), width, 740) as opened:
        for key in ("Home", "End"):
            opened.page.keyboard.press(key)
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.page.locator(".top").bounding_box()["height"] < 200
        assert opened.page.locator("#pieces").bounding_box()["width"] > 300
        assert opened.quiet()


def test_on_a_phone_every_column_of_a_table_is_there_and_the_rings_are_named(browser: Browser, write: Write) -> None:
    with browser.open(write("story"), 400, 800) as opened:
        hidden = "[...document.querySelectorAll('.scroll')].map(each => each.scrollWidth - each.clientWidth)"
        assert set(opened.page.evaluate(hidden)) == {0}
        names = "[...document.querySelectorAll('.lane-names span')].map(each => each.getBoundingClientRect().height)"
        assert max(opened.page.evaluate(names)) < 36
        assert opened.quiet()


def test_an_option_is_not_broken_across_lines(browser: Browser, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    for language, has in (("en", "compile with -g."), ("ko", "-g로")):
        wish = Wish(language, tmp_path)
        target.write_text(page_of(meta(), lambda _kinds: [], wish), encoding="utf-8")
        with browser.open(target) as opened:
            assert has in opened.page.locator("#source-panel").text_content()
            assert opened.page.locator("#source-panel .whole").text_content() == "-g"


def test_the_theme_can_be_chosen(browser: Browser, write: Write) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with browser.open(write("story"), scheme="dark") as opened:
        dark = opened.page.evaluate(ground)
        opened.page.click("#theme")
        assert opened.page.evaluate(ground) != dark
        opened.page.click("#theme")
        assert opened.page.evaluate(ground) == dark


def test_on_paper_the_moment_stands_without_what_moves_it(browser: Browser, write: Write) -> None:
    with browser.open(write("story")) as opened:
        opened.page.emulate_media(media="print")
        assert not opened.page.is_visible("#slider")
        assert not opened.page.is_visible("#theme")
        for selector in ("#sentence", "#pieces", "#chart", "#run", "#terms"):
            assert opened.page.is_visible(selector), selector
        assert len(opened.page.pdf()) > 10_000


def test_without_a_script_the_whole_run_can_be_read(browser: Browser, write: Write, story: Recorded) -> None:
    context = browser.chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(write("story").as_uri())
    text = page.inner_text("body")
    context.close()
    for line in story.trace.meta.ledger:
        assert line.identity in text
    assert "need JavaScript" in text


@needs_fault_events
def test_another_process_can_be_looked_at(browser: Browser, write: Write) -> None:
    with browser.open(write("fork_cow")) as opened:
        opened.page.keyboard.press("End")
        assert opened.page.locator("#process option").count() == 2
        before = opened.text("#value-resident")
        opened.page.select_option("#process", "1")
        assert opened.text("#value-resident") != before
        opened.page.select_option(
            "#region", label=opened.page.locator("#region option", has_text="map#4").text_content()
        )
        assert opened.page.locator("#pages .page.shared, #pages .page.own").count() > 0
        assert opened.quiet()


def test_predictions_stand_beside_what_was_observed(browser: Browser, write: Write, story: Recorded) -> None:
    n = moment_of(story.events, line_with('FACT_LINE("large_malloc")'))
    with browser.open(write("story", "--compare")) as opened:
        opened.go(n)
        assert opened.text("#compared-now").startswith(
            "malloc(2,097,169): observed a mapping of its own; mmap 2,101,248"
        )
        assert "large pieces are mapped apart" in opened.text("#compared .now")
        assert opened.quiet()
    with browser.open(write("story")) as opened:
        assert opened.page.locator("#compared-panel").count() == 0


# ---- hostile ----

HOSTILE = "</script><img src=x onerror=alert(1)><b>&amp;\u2028\x1b[31m\udcff{{7*7}}"


def hostile_run() -> list[Event]:
    run = Script()
    run.process("start", path=f"/tmp/{HOSTILE}")
    site = Site(HOSTILE, f"/src/{HOSTILE}.c", 1, HOSTILE, 16)
    for i in range(7):
        n = run.call("malloc", 100, result=0x5581_0C3E_A000 + i * 4096, where=HOSTILE, site=site, served_by=HOSTILE)
        run.syscall("brk", 0, result=0x5581_0C3E_A000 + i * 8192, cause=n)
        run.fault(0x5581_0C3E_A000 + i * 4096, mapping=f"/lib/{HOSTILE}", site=site)
    run.call("malloc", (1 << 64) - 1, result=(1 << 64) - 4096, site=line_of(1, "/src/evil.c"))
    run.fault((1 << 64) - 4096, mapping="[vsyscall]", frame=1 << 60)
    run.syscall("openat", 0, decoded=(f'"{HOSTILE * 200}"',))
    run.signal("SIGSEGV", instruction=HOSTILE)
    return run.events


def test_hostile_text_is_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    events = hostile_run()
    (tmp_path / "evil.c").write_bytes(
        b"int x;\xff\x1b[2J</script><script>alert(2)</script>\xe2\x80\xa8\n" + b"y" * (1 << 20) + b"\n"
    )
    (tmp_path / "shadow").write_text("secret\n")
    target = tmp_path / "page.html"
    kept = meta(f"/bin/{HOSTILE}", outcome=Outcome(0, None, "exit", len(events), 0.1), notes=(HOSTILE,))
    page = page_of(
        kept,
        lambda kinds: [e for e in events if kinds is None or e.__struct_config__.tag in kinds],
        Wish(sources=tmp_path),
    )
    target.write_text(page, encoding="utf-8")
    assert len(page) < 1 << 20
    with browser.open(target) as opened:
        for i in range(len(events)):
            opened.go(i)
        assert opened.page.locator("img, b, body script:not([type])").count() == 1
        assert "</script><img src=x onerror=alert(1)><b>&amp;\\u2028\\x1b[31m\\udcff{{7*7}}" in opened.text("#run")
        opened.page.click('#source [data-line="1"] .gutter')
        opened.go(7 * 3 + 1)
        assert "… (+1,048,176)" in opened.text('#source [data-line="2"] code')
        assert "\\x1b[2J</script><script>alert(2)</script>" in opened.text('#source [data-line="1"] code')
        assert opened.quiet()


def test_a_run_without_events_is_a_page_of_the_rest(browser: Browser, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    empty = meta(outcome=Outcome(None, None, "cut off", 0, 0.0))
    target.write_text(page_of(empty, lambda _kinds: [], Wish(sources=tmp_path)), encoding="utf-8")
    with browser.open(target) as opened:
        assert not opened.page.is_visible("#moment")
        assert opened.page.is_visible("#run")
        assert opened.quiet()


def test_a_thinned_run_says_so_and_is_exact_where_it_stands(browser: Browser, tmp_path: Path, story: Recorded) -> None:
    events, target = story.events, tmp_path / "page.html"
    page = page_of(story.trace.meta, story.trace.events, Wish(most=50))
    target.write_text(page, encoding="utf-8")
    account = Account()
    with browser.open(target) as opened:
        assert f"This run has {len(events)} events." in opened.text(".notice")
        kept = opened.page.evaluate("[...Array(observerPage.count).keys()].map((i) => observerPage.stateAt(0, i))")
        assert 40 <= len(kept) <= 60
        assert {0, len(events) - 1} <= {state["n"] for state in kept}
        by_n = {state["n"]: state for state in kept}
        for event in events:
            account.take(event)
            if event.n in by_n:
                assert len(by_n[event.n]["pieces"]) == len(account.live)
                assert {start // PAGE for start in by_n[event.n]["pages"]} == account.pages
        assert opened.quiet()
