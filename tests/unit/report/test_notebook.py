"""What notebooks show of a trace: its screen and a drawing, harmless whatever the program was called."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import cast

from observer.report.notebook import Shown
from observer.trace.reader import Trace
from tests.builders import meta
from tests.unit.cli.test_show import StoryTrace

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m"


class Hostile(StoryTrace):
    meta = meta(HOSTILE)
    directory = Path("story.trace")


def test_a_cell_shows_the_screen_and_three_curves() -> None:
    shown = Shown(cast(Trace, Hostile()))._repr_html_()
    screen, _pre, drawing = shown.partition("</pre>")
    assert "161 frames by first touch" in screen
    root = ElementTree.fromstring(drawing)
    assert len([element for element in root if element.tag == "path" and element.get("d", "").count("H") > 100]) == 3


def test_a_hostile_name_is_shown_as_text() -> None:
    shown = Shown(cast(Trace, Hostile()))._repr_html_()
    assert "<img" not in shown
    assert "&lt;img" in shown
    assert "\x1b" not in shown
    assert "\x1b" not in repr(Shown(cast(Trace, Hostile())))
