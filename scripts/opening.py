"""The page of a long run, timed: how long it takes to be written, to be opened, and to go on to another moment."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["opened", "written"]

ROUNDS = 52_000
PROGRAM = """
#include <stdlib.h>
int main(void)
{
    static char *piece[5000];
    unsigned next = 17;
    for (int i = 0; i < ROUNDS; i++) {
        next = next * 1103515245 + 12345;
        char **at = &piece[(next >> 8) % 5000];
        if (*at) free(*at);
        *at = malloc(16 + (next >> 16) % 600);
        (*at)[0] = 1;
    }
    return 0;
}
"""
STEPS = """() => {
    const taken = [];
    for (let k = 0; k < 41; k++) {
        const began = performance.now();
        observerPage.go(Math.floor(observerPage.count * k / 41) + k);
        document.body.offsetHeight;
        taken.push(performance.now() - began);
    }
    return taken;
}"""


def written(folder: Path) -> tuple[Path, int, float]:
    """Record a long run and write its page; return the page, how many events the run has, and seconds of writing."""
    program, trace, page = folder / "long", folder / "long.trace", folder / "long.html"
    flags = ["-g", "-O1", "-fno-builtin", f"-DROUNDS={ROUNDS}", "-x", "c", "-", "-o", str(program)]
    subprocess.run(["cc", *flags], input=PROGRAM, text=True, check=True)
    observer = [sys.executable, "-m", "observer"]
    subprocess.run([*observer, "run", "-q", "-o", str(trace), "--", str(program)], check=True)
    began = time.perf_counter()
    subprocess.run([*observer, "report", str(trace), "-o", str(page)], check=True)
    taken = time.perf_counter() - began
    return page, json.loads((trace / "meta.json").read_text())["outcome"]["events"], taken


def opened(page: Path) -> tuple[float, float, float] | None:
    """Return seconds until the page stands, the median and the longest step of its slider; None without a browser."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as playwright:
        # Root and many containers have no sandbox; the page is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        began = time.perf_counter()
        tab.goto(page.as_uri())
        stands = time.perf_counter() - began
        steps = [step / 1000 for step in tab.evaluate(STEPS)]
        browser.close()
    return stands, statistics.median(steps), max(steps)
