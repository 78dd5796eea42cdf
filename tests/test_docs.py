"""Documentation that cannot rot."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
READS = re.compile(r'env\.(?:text|flag|number|integer|words|path)\(\s*"([A-Z0-9_]+)"')


def test_every_setting_is_documented() -> None:
    names = set(READS.findall((ROOT / "alarm_site/settings.py").read_text()))
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    documented = set(re.findall(r"`([A-Z0-9_]+)`", " ".join(rows)))
    assert len(names) > 15
    assert names == documented


def test_every_command_is_documented() -> None:
    folders = ("alarm_site", "triage", "inference")
    commands = {
        path.stem
        for app in folders
        for path in (ROOT / app / "management/commands").glob("[a-z]*.py")
    }
    text = "\n".join(path.read_text() for path in DOCS)
    assert len(commands) > 3
    assert {name for name in commands if f"manage.py {name}" not in text} == set()


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []
