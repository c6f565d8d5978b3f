"""JUnit's XML, which most CI systems read: a test suite a hand-in, a test case a check."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import Final

from observer.labs.formats.telling import about, details
from observer.labs.grading import OURS, Document
from observer.labs.judging import NOT_REACHED, PASSED, UNVERIFIABLE, CheckResult
from observer.model.filenames import safe

__all__ = ["as_junit"]

_ASIDE: Final = {PASSED: None, UNVERIFIABLE: "skipped", NOT_REACHED: "skipped"}
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(documents: Sequence[Document]) -> str:
    """Return the XML for *documents*; what is our failure is an error, what cannot be verified here is skipped."""
    root = ElementTree.Element("testsuites", name="observer lab")
    for document in documents:
        _suite(root, document)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ElementTree.Element, document: Document) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_plain(safe(document.file)))
    for check in document.checks:
        _case(suite, document, check)
    if not document.checks:
        case = ElementTree.SubElement(suite, "testcase", name="graded", classname=_plain(safe(document.lab)))
        kind = "error" if document.verdict == OURS else "failure"
        ElementTree.SubElement(case, kind, message=_plain(about(document)))
    ElementTree.SubElement(suite, "system-out").text = _plain(about(document))
    for name, kind in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(1 for _ in suite.iter(kind))))


def _case(suite: ElementTree.Element, document: Document, check: CheckResult) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", name=_plain(safe(check.name)), classname=_plain(safe(document.lab))
    )
    kind = _ASIDE.get(check.status, "failure")
    if kind is not None:
        ElementTree.SubElement(case, kind, message=check.status).text = _plain(details(check))


def _plain(text: str) -> str:
    """Return *text* without what XML cannot hold."""
    return _NO_XML.sub("\ufffd", text)
