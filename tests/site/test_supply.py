"""What the product is made of is known, and none of it is older than it may be."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import supply

# What the design calls the floors for published flaws; a floor only ever rises.
DESIGN = {
    "Django": "5.2.19",
    "djangorestframework": "3.18.3",
    "daphne": "4.2.3",
    "pillow": "13.0.0",
    "av": "18.1.0",
}


def test_nothing_that_is_installed_is_below_its_floor() -> None:
    assert supply.too_old(supply.floors(), supply.installed()) == []


def test_no_floor_was_lowered() -> None:
    assert (
        supply.too_old(DESIGN, {canonicalize_name(k): v for k, v in supply.floors().items()}) == []
    )


def test_what_is_pinned_is_not_below_its_floor() -> None:
    pinned: dict[str, str] = {}
    for file in ("requirements.txt", "requirements-test.txt"):
        for line in (supply.ROOT / file).read_text().splitlines():
            if line.strip() and not line.startswith(("#", "-r")):
                need = Requirement(line)
                pins = [one.version for one in need.specifier if one.operator == "=="]
                if pins:
                    pinned[canonicalize_name(need.name)] = pins[0]
    assert supply.too_old(supply.floors(), pinned) == []


@pytest.mark.parametrize("version", ["5.2.18", "5.2.19rc1", "4.99"])
def test_an_older_version_is_refused_in_words(version: str) -> None:
    [found] = supply.too_old({"Django": "5.2.19"}, {"django": version})
    assert f"Django {version} has published flaws" in found


@pytest.mark.parametrize("version", ["5.2.19", "5.2.20", "5.10", "6.0"])
def test_a_newer_version_is_fine(version: str) -> None:
    assert supply.too_old({"Django": "5.2.19"}, {"django": version}) == []


def test_a_package_that_is_missing_is_named() -> None:
    assert supply.too_old({"Django": "5.2.19"}, {}) == [
        "Django is not installed: its floor is 5.2.19."
    ]


def test_the_test_command_checks_the_floors() -> None:
    assert "-m scripts.supply floors" in (supply.ROOT / "test").read_text()


def test_the_list_names_all_that_ships_and_nothing_of_the_tests(tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    command = [sys.executable, "-m", "scripts.supply", "sbom", "--out", str(out)]
    subprocess.run(command, check=True, cwd=supply.ROOT)
    bom = json.loads(out.read_text())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    names = {canonicalize_name(one["name"]) for one in bom["components"]}
    assert {"django", "pillow", "av", "torch", "kombu", "uvloop", "htmx-min-js"} <= names
    assert not {"pytest", "mypy", "playwright"} & names
    refs = [one["bom-ref"] for one in bom["components"]]
    assert len(refs) == len(set(refs))
    for one in bom["components"]:
        assert re.fullmatch(r"pkg:(pypi|npm)/\S+@\S+", one["purl"])
        assert one["version"]
