"""What all reports are written on: one HTML file, no script, no font, no request."""

from html import escape
from pathlib import Path
from string import Template

_SHEET = Template(Path(__file__).with_name("sheet.html").read_text(encoding="utf-8"))


def sheet(title: str, body: str) -> str:
    """A whole page around a body of HTML; the title is plain text."""
    return _SHEET.substitute(title=escape(title), body=body)
