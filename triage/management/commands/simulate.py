"""The whole product on recorded answers: an installation of its own, day after day."""

import json
import os
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.backends.recordings import Recording, RecordingsError, read_recordings
from inference.backends.registry import MembersError, read_members
from inference.pipeline.domains import domain_ids, load_domain
from triage.models import Organisation
from triage.services.demo import PASSWORD
from triage.simulation.loop import MissingLabel, Plan, Simulation, check_labels, simulate
from triage.simulation.page import render

DATABASE, ANSWERS, MEMBERS = "db.sqlite3", "answers.jsonl", "members.toml"
# What an installation of its own must not take from the one that it is started in.
OTHERS = ("DATABASE_URL", "ALARM_QUORUM", "ALARM_DEMO")


class Command(BaseCommand):
    help = (
        "Let recorded cases arrive at a new site of an installation of its own, go policy after "
        "policy, and plot accepted error, deferral and expert minutes."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--replay", type=Path, required=True, help="recorded answers, a JSON object a line"
        )
        parser.add_argument(
            "--out", type=Path, required=True, help="an empty folder for data and report"
        )
        parser.add_argument("--domain", choices=domain_ids(), default="anomaly")
        parser.add_argument("--cases", type=int, default=0, help="at most so many; 0 for all")
        parser.add_argument("--per-day", type=int, default=40, help="cases that arrive in a day")
        parser.add_argument(
            "--seconds", type=float, default=30, help="that an expert needs for one review"
        )
        parser.add_argument(
            "--mistakes", type=float, default=0.0, help="share of the expert's answers, 0 to 1"
        )
        parser.add_argument("--seed", type=int, default=0)

    def handle(
        self,
        *,
        replay: Path,
        out: Path,
        domain: str,
        cases: int,
        per_day: int,
        seconds: float,
        mistakes: float,
        seed: int,
        **_: object,
    ) -> None:
        if per_day < 1 or seconds <= 0 or not 0 <= mistakes <= 1 or cases < 0:
            raise CommandError("--per-day and --seconds are above 0, --mistakes is 0 to 1.")
        out = out.resolve()
        try:
            recordings = read_recordings(replay)[: cases or None]
            check_labels(recordings, domain)
            if out != Path(settings.DATA_DIR).resolve():
                prepare(out, replay, domain, list(recordings[0].answers))
                given = {"domain": domain, "cases": cases, "per-day": per_day, "seconds": seconds}
                _start_inside(out, given | {"mistakes": mistakes, "seed": seed})
                return
        except (RecordingsError, MissingLabel, MembersError, OSError) as error:
            raise CommandError(str(error)) from error
        self._run(recordings, domain, Plan(per_day, mistakes, seed), seconds, out)

    def _run(
        self,
        recordings: tuple[Recording, ...],
        domain: str,
        plan: Plan,
        seconds: float,
        out: Path,
    ) -> None:
        if Organisation.objects.exists():
            raise CommandError("There is something in this installation: name an empty --out.")
        simulation = simulate(recordings, domain, plan, _tell)
        title, members = load_domain(domain).title, list(recordings[0].answers)
        _write(out, simulation, render(simulation, title, members, seconds))
        self.stdout.write(_where(out, simulation))


def prepare(out: Path, replay: Path, domain: str, names: Sequence[str]) -> None:
    """The folder of an installation whose members repeat the recorded answers."""
    if out.exists() and any(out.iterdir()):
        raise CommandError(f"{out} is not empty: name another --out folder.")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(replay, out / ANSWERS)
    lines = [
        f'{slug} = {{ backend = "replay", model = "{ANSWERS}", domains = ["{domain}"], '
        f"options = {{ name = {json.dumps(name)} }} }}"
        for slug, name in _slugs(names).items()
    ]
    (out / MEMBERS).write_text("\n".join(["[members]", *lines, ""]), encoding="utf-8")
    read_members(out / MEMBERS)


def _slugs(names: Sequence[str]) -> dict[str, str]:
    """Names that members may have -> the recorded ones."""
    slugs: dict[str, str] = {}
    for at, name in enumerate(names, 1):
        slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:36] or "member"
        slugs[f"{slug}-{at}" if slug in slugs else slug] = name
    return slugs


def _start_inside(out: Path, given: Mapping[str, object]) -> None:
    """Settings are read once a process: the installation gets processes of its own."""
    command = ["simulate", "--replay", str(out / ANSWERS), "--out", str(out)]
    command += [f"--{name}={value}" for name, value in given.items()]
    kept = {key: value for key, value in os.environ.items() if key not in OTHERS}
    own = {
        "ALARM_DATA": str(out),
        "ALARM_MEMBERS": str(out / MEMBERS),
        "REDIS_URL": "memory://localhost",
    }
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    for arguments in (["migrate", "--verbosity", "0"], command):
        ended = subprocess.run([*manage, *arguments], env=kept | own, check=False)
        if ended.returncode:
            raise CommandError(f"{arguments[0]} ended with {ended.returncode}.")


def _write(out: Path, simulation: Simulation, page: str) -> None:
    content = json.dumps(simulation.to_dict(), indent=2, allow_nan=False)
    (out / "simulation.json").write_text(content + "\n", encoding="utf-8")
    (out / "simulation.html").write_text(page, encoding="utf-8")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress, kept off standard output


def _where(out: Path, simulation: Simulation) -> str:
    return (
        f"{len(simulation.days)} days, {len(simulation.versions)} policies: "
        f"{out / 'simulation.html'}\n"
        f"To look around, ALARM_DATA={out} ALARM_MEMBERS={out / MEMBERS} ./run, and sign in as "
        f"administrator or caregiver with {PASSWORD}."
    )
