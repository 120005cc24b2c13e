"""How log lines look."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from subscriber.logs import Line
from tests.web.serving import ROOT


def line(text: str, **extra: object) -> str:
    record = logging.getLogger("subscriber.web").makeRecord(
        "subscriber.web", logging.INFO, __file__, 1, text, (), None, extra=extra
    )
    return Line().format(record)


def test_the_extra_fields_follow_the_text() -> None:
    written = line("refused", action="refuse", platform="mindsphere", attempt=3)
    assert written.endswith("INFO subscriber.web refused action=refuse platform=mindsphere attempt=3")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("two words", '"two words"'), ("a=b", '"a=b"'), ("", '""'), ("line\nline", '"line\\nline"'), ("ä", '"\\u00e4"')],
)
def test_no_value_can_look_like_two_fields_or_two_lines(value: str, shown: str) -> None:
    assert line("text", detail=value).endswith(f" detail={shown}")


def test_lines_go_to_stderr_with_their_traceback() -> None:
    program = (
        "import logging; from subscriber.logs import log_to_stderr; log_to_stderr()\n"
        "try: 1 / 0\nexcept ZeroDivisionError: logging.getLogger('here').exception('failed', extra={'action': 'try'})"
    )
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert output.stdout == ""
    lines = output.stderr.splitlines()
    assert lines[0].endswith("ERROR here failed action=try")
    assert lines[1].startswith("Traceback") and lines[-1].startswith("ZeroDivisionError")
