"""Is the history as it was written, and a copy of it to keep elsewhere."""

import sys
from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from triage.models import AuditEvent, Site
from triage.selectors.audit_log import exported
from triage.selectors.chains import Finding, rewritten_since, verify

NAMED = 20


class Command(BaseCommand):
    help = (
        "verify: check every hash, place and signature of the history; ends with an error when a "
        "line was changed, removed, inserted, reordered or cut off. "
        "export: write it as JSON lines (or CSV), to keep where nobody of this server reaches it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        check = acts.add_parser("verify")
        check.add_argument("--site", help="only this site")
        check.add_argument("--against", type=Path, help="an earlier export: is all of it still so?")
        out = acts.add_parser("export")
        out.add_argument("--site", help="only this site")
        out.add_argument("--csv", action="store_true", help="CSV instead of JSON lines")
        out.add_argument("--out", type=Path, help="a file; without it to standard output")

    def handle(self, *, act: str, site: str | None, **options: object) -> None:
        of = _site(site) if site else None
        if act == "verify":
            self._verify(of, options["against"])  # type: ignore[arg-type]
        else:
            self._export(of, bool(options["csv"]), options["out"])  # type: ignore[arg-type]

    def _verify(self, site: Site | None, against: Path | None) -> None:
        found = verify(site)
        findings = found.findings + (_compared(against, site) if against else [])
        self.stdout.write(f"{found.events} events in {found.chains} chains")
        if findings:
            lines = [f"{one.kind}: {one.chain} at {one.position or '-'}" for one in findings]
            more = f"\n... and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
            raise CommandError("The history is not intact.\n" + "\n".join(lines[:NAMED]) + more)
        self.stdout.write("The history is intact.")

    def _export(self, site: Site | None, as_csv: bool, out: Path | None) -> None:
        events = AuditEvent.objects.filter(site=site) if site else AuditEvent.objects.all()
        lines = exported(events.order_by("created_at", "pk"), as_csv=as_csv)
        if out is None:
            sys.stdout.writelines(lines)
            return
        with out.open("w", newline="") as file:
            file.writelines(lines)


def _site(name: str) -> Site:
    found = Site.objects.filter(name=name).first()
    if found is None:
        known = ", ".join(Site.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"There is no site {name!r}. There are: {known}.")
    return found


def _compared(against: Path, site: Site | None) -> list[Finding]:
    try:
        with against.open() as lines:
            return rewritten_since(lines, site)
    except (OSError, ValueError) as error:
        raise CommandError(f"{against} cannot be read as an export: {error}") from error
