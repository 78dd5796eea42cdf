"""What the product is made of.

    python -m scripts.supply floors           no package is older than scripts/floors.toml says
    python -m scripts.supply sbom --out FILE  a CycloneDX 1.6 list of everything that ships

Needs no network: both look at what is installed in this environment, and at static/vendor.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ROOT / "scripts/floors.toml"
REQUIREMENTS = ROOT / "requirements.txt"
VENDOR = ROOT / "static/vendor/README.md"
LICENCES = ("License-Expression", "License")
ROW = re.compile(r"\| (\S+) \| (\S+) \| (\S+) \| (.+?) \| ([0-9a-f]{64}) \|")


def too_old(floors: Mapping[str, str], versions: Mapping[str, str]) -> list[str]:
    """One sentence for each package that is older than its floor, or is not there at all."""
    found = []
    for name, floor in floors.items():
        version = versions.get(canonicalize_name(name))
        if version is None:
            found.append(f"{name} is not installed: its floor is {floor}.")
        elif Version(version) < Version(floor):
            found.append(
                f"{name} {version} has published flaws: {floor} is the oldest that may be used."
            )
    return found


def floors() -> dict[str, str]:
    return dict(tomllib.loads(FLOORS.read_text())["floors"])


def installed() -> dict[str, str]:
    """Canonical name -> version, of every package in this environment."""
    return {canonicalize_name(one.name): one.version for one in metadata.distributions()}


def sbom() -> dict[str, object]:
    """CycloneDX 1.6: what requirements.txt leads to, and the files in static/vendor."""
    packages = [_package(metadata.distribution(name)) for name in sorted(shipped())]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "alarm-triage", "version": _own()}
        },
        "components": [*packages, *_vendored()],
    }


def shipped() -> set[str]:
    """Canonical names of all that requirements.txt needs, near and far, as installed here."""
    lines = REQUIREMENTS.read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    done: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        one = wanted.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key not in done and key[0] in _here():
            done.add(key)
            wanted += _needs(key[0], key[1])
    return {name for name, _extras in done}


def _here() -> set[str]:
    return set(installed())


def _needs(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in metadata.distribution(name).requires or ():
        need = Requirement(line)
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras or {""}):
            yield need


def _package(found: metadata.Distribution) -> dict[str, object]:
    name = canonicalize_name(found.name)
    licence = _licence(found)
    part: dict[str, object] = {
        "type": "library",
        "name": found.name,
        "version": found.version,
        "purl": f"pkg:pypi/{name}@{found.version}",
        "bom-ref": f"pkg:pypi/{name}@{found.version}",
    }
    if licence:
        part["licenses"] = [{"license": {"name": licence}}]
    return part


def _licence(found: metadata.Distribution) -> str:
    said = [found.metadata[key] for key in LICENCES if key in found.metadata]
    first = next((one.strip() for one in said if one.strip()), "")
    return first.splitlines()[0][:100] if first else ""


def _vendored() -> Iterator[dict[str, object]]:
    for file, package, version, _rest, digest in ROW.findall(VENDOR.read_text()):
        yield {
            "type": "file",
            "name": file,
            "version": version,
            "purl": f"pkg:npm/{package}@{version}",
            "bom-ref": f"static/vendor/{file}",
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }


def _own() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    acts = parser.add_subparsers(dest="act", required=True)
    acts.add_parser("floors")
    acts.add_parser("sbom").add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.act == "floors":
        found = too_old(floors(), installed())
        print("\n".join(found) or f"{len(floors())} floors hold")
        return 1 if found else 0
    text = json.dumps(sbom(), indent=2)
    if asked.out:
        asked.out.write_text(f"{text}\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
