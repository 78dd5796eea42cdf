"""The feedback loop on made-up recordings, through intake, members, decisions, reviews, refits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from inference.backends.recordings import Recording, read_recordings
from inference.backends.registry import read_members
from triage.choices import Outcome, PolicyStatus
from triage.management.commands.simulate import prepare
from triage.models import Decision, Learning, Policy, Review, Site
from triage.selectors.live import live_numbers
from triage.selectors.weeks import decisions_of
from triage.simulation.loop import MissingLabel, Plan, Simulation, check_labels, simulate
from triage.simulation.page import render

pytestmark = pytest.mark.django_db(transaction=True)
MEMBERS = ("few", "cot", "icl")
CASES, PER_DAY = 130, 26


def recordings(folder: Path, cases: int = CASES, **changes: Any) -> Path:
    """Three members that agree and are right on most cases, and are split on the others."""
    rng = np.random.default_rng(1)
    rows = []
    for at in range(cases):
        truth, hard = int(rng.random() < 0.5), rng.random() < 0.3
        labels = rng.integers(0, 2, 3) if hard else [truth] * 3
        said = [
            {
                "model": name,
                "description": f"{name} saw scene {at}, {'unclear' if hard else 'clear'}.",
                "reasoning": f"{name} took it for {'abnormal' if label else 'normal'}, scene {at}.",
                "label": int(label),
            }
            for name, label in zip(MEMBERS, labels, strict=True)
        ]
        rows.append({"id": f"scene {at}", "truth": truth, "members": said} | changes)
    path = folder / "recorded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def inside(tmp_path: Path, settings: Settings) -> tuple[Recording, ...]:
    """The recordings of an installation that was prepared for them."""
    path = recordings(tmp_path)
    prepare(tmp_path / "out", path, "anomaly", MEMBERS)
    settings.ALARM_MEMBERS = tmp_path / "out/members.toml"
    settings.ALARM_AUDIT_SHARE = 0.3
    return read_recordings(path)


def run(cases: tuple[Recording, ...], **plan: Any) -> Simulation:
    return simulate(cases, "anomaly", Plan(per_day=PER_DAY, **plan))


def test_the_loop_closes_policy_after_policy(inside: tuple[Recording, ...]) -> None:
    told: list[str] = []
    simulation = simulate(inside, "anomaly", Plan(per_day=PER_DAY), told.append)
    assert len(simulation.days) == len(told) == 5
    the_site_is_trusted_once_it_has_learned(simulation)
    each_policy_came_from_a_refit(simulation)
    the_days_are_what_the_database_holds(simulation)
    the_ensemble_is_judged_by_the_truth(simulation, inside)


def the_site_is_trusted_once_it_has_learned(simulation: Simulation) -> None:
    first, *_, last = simulation.days
    assert first.learning
    assert first.version is None
    assert first.deferred == first.reviews == PER_DAY
    assert not last.learning
    assert last.accepted > PER_DAY / 3
    assert Learning.objects.get().ended_at


def each_policy_came_from_a_refit(simulation: Simulation) -> None:
    versions = [one.version for one in simulation.versions]
    assert versions == sorted(set(versions))
    assert len(versions) >= 2
    published = Policy.objects.filter(status__in=[PolicyStatus.ACTIVE, PolicyStatus.RETIRED])
    assert set(versions) <= set(published.values_list("version", flat=True))
    assert all(policy.choice["refit"] for policy in published)


def the_days_are_what_the_database_holds(simulation: Simulation) -> None:
    days, decisions = simulation.days, Decision.objects.select_related("case")
    accepted = [one for one in decisions if one.outcome == Outcome.ACCEPT]
    assert all(day.cases == PER_DAY == day.deferred + day.accepted for day in days)
    assert sum(day.accepted for day in days) == len(accepted)
    assert sum(day.audited for day in days) == sum(one.audited for one in accepted) > 0
    # Whatever was deferred or drawn got an answer, and nothing else did.
    answered = set(Review.objects.values_list("case", flat=True))
    assert answered == {one.case_id for one in decisions if one.audited or one not in accepted}
    assert sum(day.reviews for day in days) == Review.objects.count() == len(answered)
    audits = live_numbers(decisions_of(Site.objects.get())).error
    assert days[-1].estimate == audits.estimate
    assert (days[-1].low, days[-1].high) == (audits.low, audits.high)


def the_ensemble_is_judged_by_the_truth(
    simulation: Simulation, cases: tuple[Recording, ...]
) -> None:
    by_vote = [sum(said.label == one.truth for said in one.answers.values()) < 2 for one in cases]
    assert sum(day.vote_wrong for day in simulation.days) == sum(by_vote) > 0
    assert 0 < sum(day.wrong for day in simulation.days) < sum(by_vote)


def test_an_expert_who_errs_labels_wrongly(inside: tuple[Recording, ...]) -> None:
    run(inside[:PER_DAY], mistakes=1.0)
    said = {review.case_id: review.label for review in Review.objects.all()}
    assert len(said) == PER_DAY
    by_votes = Decision.objects.select_related("run").filter(case__in=said)
    agreeing = [one for one in by_votes if one.run.prediction == said[one.case_id]]
    assert len(agreeing) < PER_DAY / 2


def test_the_page_and_the_numbers_are_written(
    inside: tuple[Recording, ...], tmp_path: Path, settings: Settings
) -> None:
    out = tmp_path / "out"
    settings.DATA_DIR = out
    command = ["--replay", str(out / "answers.jsonl"), "--out", str(out), "--cases", "52"]
    call_command("simulate", *command, "--per-day", "26", "--seconds", "60")
    content = json.loads((out / "simulation.json").read_text())
    assert [day["cases"] for day in content["days"]] == [26, 26]
    page = (out / "simulation.html").read_text()
    assert "52 recorded cases" in page
    assert page.count("<svg viewBox=") >= 3
    assert "$" not in page
    assert "52 min" in page
    with pytest.raises(CommandError, match="There is something in this installation"):
        call_command("simulate", *command)


def test_a_page_without_an_accepted_case_says_so(inside: tuple[Recording, ...]) -> None:
    simulation = run(inside[:10])
    page = render(simulation, "Home", MEMBERS, 30)
    assert "of 0 accepted cases were wrong" in page
    assert "No policy was ever in force" in page


def test_labels_that_the_domain_has_not_are_named(tmp_path: Path) -> None:
    path = recordings(tmp_path, cases=3, truth="Burns")
    with pytest.raises(MissingLabel, match="Burns are none of the domain anomaly"):
        check_labels(read_recordings(path), "anomaly")


@pytest.mark.parametrize(
    "wrong", [["--per-day", "0"], ["--seconds", "0"], ["--mistakes", "2"], ["--cases", "-1"]]
)
def test_options_out_of_range_are_refused(tmp_path: Path, wrong: list[str]) -> None:
    path = recordings(tmp_path, cases=3)
    with pytest.raises(CommandError, match="are above 0"):
        call_command("simulate", "--replay", str(path), "--out", str(tmp_path / "o"), *wrong)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    path = recordings(tmp_path, cases=3)
    with pytest.raises(CommandError, match="is not empty"):
        call_command("simulate", "--replay", str(path), "--out", str(tmp_path))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["recorded.jsonl"]


def test_members_are_called_as_members_may_be(tmp_path: Path) -> None:
    names = ("GPT-4o", "GPT 4o", "Ünï 3.5 (few)", "???")
    prepare(tmp_path / "out", recordings(tmp_path, cases=3), "anomaly", names)
    specs = read_members(tmp_path / "out/members.toml")
    assert [spec.options["name"] for spec in specs] == list(names)
    assert [spec.name for spec in specs] == ["gpt-4o", "gpt-4o-2", "n-3-5-few", "member"]


def test_one_command_makes_an_installation_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "alarm_site.settings")
    path, out = recordings(tmp_path, cases=6), tmp_path / "own"
    call_command("simulate", "--replay", str(path), "--out", str(out), "--per-day", "3")
    assert len(json.loads((out / "simulation.json").read_text())["days"]) == 2
    assert (out / "db.sqlite3").stat().st_size > 0
    assert not Site.objects.exists()
