"""Debian's Chromium, driven by Playwright: pages are opened offline, and all that they say or ask for is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _why_no_browser() -> str:
    if CHROMIUM is None:
        return "chromium is not installed"
    try:
        import playwright.sync_api
    except ImportError:
        return "the Python package playwright is not installed"
    return "" if playwright.sync_api else "playwright is empty"


WHY_NO_BROWSER = _why_no_browser()
needs_browser = pytest.mark.skipif(bool(WHY_NO_BROWSER), reason=WHY_NO_BROWSER or "it is there")


@dataclass
class Opened:
    """A page in the browser: `said` are its messages and errors, `asked` what it requested beside itself."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def go(self, moment: int) -> None:
        self.page.evaluate("i => observerPage.go(i)", moment)

    def text(self, selector: str) -> str:
        found: str = self.page.text_content(selector)
        return " ".join(found.split())

    def until(self, expression: str) -> None:
        """Wait for *expression* to hold; asked from outside, for the page's policy lets nobody evaluate text in it."""
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never came true: {expression}")

    def quiet(self) -> bool:
        return not self.said and not self.asked


@dataclass
class Browser:
    """A running Chromium."""

    chromium: Any

    @contextmanager
    def open(self, file: Path, width: int = 1280, height: int = 800, scheme: str = "light") -> Iterator[Opened]:
        """Open *file* offline, in a window of this size."""
        context = self.chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
        )  # fmt: skip
        opened = Opened(context.new_page())
        opened.page.on("console", lambda message: opened.said.append(message.text))
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.on("dialog", lambda dialog: (opened.said.append(dialog.message), dialog.dismiss()))
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.goto(file.as_uri())
        opened.until("!!window.observerPage")
        assert opened.asked == [file.as_uri()]
        opened.asked.clear()
        yield opened
        context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, without its sandbox, which root and many containers do not have: the pages are our own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Browser(browser)
        browser.close()
