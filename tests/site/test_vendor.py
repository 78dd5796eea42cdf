"""Vendored files are exactly what their table says they are."""

import hashlib
import re
from pathlib import Path

import pytest
from django.conf import settings

VENDOR = Path(settings.BASE_DIR) / "static" / "vendor"
ROW = re.compile(
    r"\| (?P<file>\S+) \| (?P<package>\S+) \| (?P<version>\S+) "
    r"\| .+ \| (?P<sha256>[0-9a-f]{64}) \|"
)
ROWS = [row for line in (VENDOR / "README.md").read_text().splitlines() if (row := ROW.match(line))]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_a_file_has_the_checksum_of_its_row(row: re.Match[str]) -> None:
    assert hashlib.sha256((VENDOR / row["file"]).read_bytes()).hexdigest() == row["sha256"]


def test_every_file_has_its_row() -> None:
    present = {path.name for path in VENDOR.iterdir()} - {"README.md"}

    assert present == {row["file"] for row in ROWS}


@pytest.mark.parametrize("name", ["htmx.min.js", "uPlot.iife.min.js"])
def test_a_script_names_the_version_of_its_row(name: str) -> None:
    version = next(row["version"] for row in ROWS if row["file"] == name)

    assert version in (VENDOR / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("package", sorted({row["package"] for row in ROWS}))
def test_every_package_comes_with_its_licence(package: str) -> None:
    files = {row["file"] for row in ROWS if row["package"] == package}

    assert any(name.endswith(".LICENSE") for name in files)
