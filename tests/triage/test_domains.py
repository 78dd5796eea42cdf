"""Domains written in the console: versions, what is in force where, and trials on past cases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User

from inference.ensemble import current_signature
from inference.models import Definition, MemberJob, Run
from inference.pipeline.domains import content_of, load_domain
from inference.services.definitions import asked, keep, kept
from inference.services.runs import finish_run
from inference.services.work import execute_job
from tests.factories import (
    add_answer,
    make_case,
    make_policy,
    make_site,
    make_user,
    rewrite,
    vector,
)
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, Purpose, Role, SiteKind, VersionState
from triage.errors import Conflict, Forbidden, Invalid, Refused
from triage.models import (
    AuditEvent,
    Calibration,
    Case,
    Consent,
    Decision,
    DomainVersion,
    Learning,
    Membership,
    Policy,
    Site,
    Trial,
)
from triage.reasons import kinds
from triage.selectors.cases import case_page
from triage.selectors.domains import (
    differences,
    domain_row,
    domains_page,
    domains_to_choose,
    version_page,
)
from triage.selectors.rows import rows, with_details
from triage.selectors.trials import Rate, newest_trial, trial_page
from triage.selectors.words import domain_at, domain_of
from triage.services.decisions import decide, decide_overdue
from triage.services.domains import publish_version, write_version
from triage.services.intake import open_case
from triage.services.queue import claim
from triage.services.reviews import submit_review
from triage.services.sites import add_site
from triage.services.trials import AT_ONCE, advance, advance_all, start_trial

pytestmark = pytest.mark.django_db
WOUND = load_domain("wound")
Content = dict[str, Any]
Commits = Callable[..., Any]


@pytest.fixture(autouse=True)
def members(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three scripted members that take any domain; no message leaves."""
    path = tmp_path / "members.toml"
    lines = "\n".join(f'{name} = {{ backend = "scripted", domains = ["*"] }}' for name in "abc")
    path.write_text(f"[members]\n{lines}\n")
    settings.ALARM_MEMBERS = path
    settings.MEDIA_ROOT = tmp_path / "media"
    monkeypatch.setattr("inference.dispatch.send", lambda _jobs: None)
    monkeypatch.setattr(
        "inference.services.work.embed", lambda texts: np.array([vector(one) for one in texts])
    )
    return path


@pytest.fixture
def second(cast: Cast) -> User:
    return make_user(cast.clinic, Role.ADMINISTRATOR, "second")


def edited(**changed: Any) -> Content:
    """The wound domain with another prompt, or with what is given."""
    content = content_of(WOUND) | {"prompt": "Look again, and choose one of $labels."}
    return content | changed


def renamed(old: str, new: str) -> Content:
    content = edited()
    content["labels"] = [
        label | ({"id": new, "title": new} if label["id"] == old else {})
        for label in content["labels"]
    ]
    return content


def equipment(**changed: Any) -> Content:
    label = {
        "title": "Sound",
        "normal": True,
        "severity": 1,
        "plain": "all well",
        "rule": "it runs.",
    }
    return {
        "title": "Equipment",
        "question": "Is the machine all right?",
        "prompt": "Look at this machine. Choose one of $labels.",
        "reflection": "Check $answer by these rules: $rules",
        "labels": [
            label | {"id": "sound"},
            label
            | {"id": "leak", "title": "Leak", "normal": False, "severity": 3, "plain": "a leak"},
        ],
    } | changed


def write(cast: Cast, content: Content | None = None, **more: Any) -> DomainVersion:
    more = {"domain_id": "wound", "actor": cast.administrator, **more}
    return write_version(site=cast.clinic, content=content or edited(), **more)


def publish(cast: Cast, version: DomainVersion, actor: User) -> None:
    publish_version(site=cast.clinic, version=version, actor=actor)
    cast.clinic.refresh_from_db()


def work(trial: bool | None = None) -> None:
    """What workers do until nothing is left to do."""
    jobs = MemberJob.objects.filter(status=MemberJob.Status.QUEUED)
    if trial is not None:
        jobs = jobs.filter(run__trial=trial)
    while job := jobs.first():
        execute_job(job_id=job.pk)


# Versions ----------------------------------------------------------------------------------------


def test_the_first_edit_keeps_what_ships_as_version_one(cast: Cast) -> None:
    version = write(cast, note=" other words ")
    assert (version.version, version.note, version.author) == (2, "other words", cast.administrator)
    first = DomainVersion.objects.get(version=1)
    assert (first.author, first.definition_id) == (None, WOUND.digest)
    assert kept(version.definition_id).prompt == "Look again, and choose one of $labels."
    assert kept(version.definition_id).version == "2"
    assert AuditEvent.objects.get(verb="domain written").details == {
        "domain": "wound",
        "version": 2,
    }
    assert domain_at(cast.clinic) is load_domain("wound"), "a draft changes nothing"


def test_versions_are_never_written_again(cast: Cast) -> None:
    version = write(cast)
    version.note = "rewritten"
    with pytest.raises(TypeError):
        version.save()
    with pytest.raises(TypeError):
        version.delete()
    with pytest.raises(TypeError):
        version.definition.save()


def test_nothing_new_is_no_version(cast: Cast) -> None:
    write(cast)
    with pytest.raises(Refused, match="Nothing differs from version 2"):
        write(cast)
    with pytest.raises(Refused, match="Nothing differs from version 1"):
        write(cast, content_of(load_domain("home")), domain_id="home")
    assert DomainVersion.objects.count() == 2


def test_what_is_wrong_is_said_field_by_field_and_nothing_is_stored(cast: Cast) -> None:
    labels = equipment()["labels"]
    labels[1] |= {"id": "SOUND", "rule": ""}
    wrong = equipment(prompt="none", labels=labels, title="t" * 90)
    with pytest.raises(Invalid) as caught:
        write(cast, wrong, domain_id="equipment", new=True, note="n" * 301)
    assert caught.value.faults == {
        "note": "This is too long: at most 300 characters.",
        "title": "This is too long: at most 80 characters.",
        "prompt": "This must hold $labels, and no other $ sign.",
        "labels.1.rule": "This must not be empty.",
    }
    assert not DomainVersion.objects.exists()
    assert not Definition.objects.exists()


@pytest.mark.parametrize("note", ["n" * 301, "a\0b", "a\nb"])
def test_a_note_is_one_plain_line(cast: Cast, note: str) -> None:
    with pytest.raises(Invalid) as caught:
        write(cast, note=note)
    assert set(caught.value.faults) == {"note"}


@pytest.mark.parametrize("name", ["", "Wound", "-x", "x" * 41, "a b", "../wound", "wound", "a\0"])
def test_a_new_domain_needs_a_name_of_its_own(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        write(cast, equipment(), domain_id=name, new=True)
    assert "name" in caught.value.faults


def test_a_domain_that_is_not_there_has_no_next_version(cast: Cast) -> None:
    with pytest.raises(Refused, match="no domain of this name"):
        write(cast, equipment(), domain_id="equipment")


# In force ----------------------------------------------------------------------------------------


def test_another_person_puts_it_in_force_where_two_are_needed(cast: Cast, second: User) -> None:
    version = write(cast)
    with pytest.raises(Forbidden, match="yourself"):
        publish(cast, version, cast.administrator)
    publish(cast, version, second)
    assert domain_at(cast.clinic).digest == version.definition_id
    with pytest.raises(Conflict, match="in force already"):
        publish(cast, version, second)


def test_one_person_is_enough_where_the_rule_says_so_and_to_go_back(
    cast: Cast, second: User
) -> None:
    version = write(cast)
    publish(cast, version, second)
    publish(cast, DomainVersion.objects.get(version=1), cast.administrator)
    assert domain_at(cast.clinic).digest == WOUND.digest
    publish(cast, version, cast.administrator)  # it was in force here before
    cast.clinic.two_person_rule = False
    cast.clinic.save()
    publish(cast, write(cast, edited(title="Alone")), cast.administrator)
    assert domain_at(cast.clinic).title == "Alone"


def test_no_other_site_is_touched(cast: Cast, second: User) -> None:
    sister = Site.objects.create(
        organisation=cast.clinic.organisation, name="Sister", kind=SiteKind.CLINIC, domain="wound"
    )
    version = write(cast)
    publish(cast, version, second)
    assert domain_at(sister).digest == WOUND.digest
    assert domain_at(cast.elsewhere).digest == WOUND.digest
    assert domain_row(site=cast.elsewhere, domain_id="wound").versions[0].version is None  # type: ignore[union-attr]
    assert domain_row(site=sister, domain_id="wound").versions[0].version == version  # type: ignore[union-attr]


def test_two_organisations_may_call_different_things_the_same(cast: Cast) -> None:
    here = write(cast, equipment(), domain_id="equipment", new=True)
    other = write_version(
        site=cast.elsewhere,
        domain_id="equipment",
        content=equipment(title="Pumps"),
        new=True,
        actor=cast.outsider,
    )
    assert here.definition_id != other.definition_id
    titles = {row.id: row.domain.title for row in domains_page(site=cast.clinic)}
    assert titles["equipment"] == "Equipment"


def test_a_site_does_not_change_what_it_watches_for(cast: Cast, second: User) -> None:
    version = write(cast, equipment(), domain_id="equipment", new=True)
    with pytest.raises(Refused, match="something else"):
        publish(cast, version, second)


def test_a_run_pins_the_version_in_force_and_old_cases_keep_their_words(
    cast: Cast, second: User
) -> None:
    before = open_case(site=cast.clinic, data=photo()).case
    publish(cast, write(cast, renamed("Burns", "Scald")), second)
    after = open_case(site=cast.clinic, data=photo((1, 2, 3))).case
    old, new = before.observation.runs.get(), after.observation.runs.get()
    assert old.pins["domain"]["digest"] == WOUND.digest
    assert (new.pins["domain"]["version"], new.ensemble) == ("2", current_signature(asked(new)))
    assert old.ensemble != new.ensemble
    assert "Burns" in domain_of(before).label_ids
    assert "Scald" in domain_of(after).label_ids
    assert asked(old) == WOUND and asked(new) == domain_at(cast.clinic)
    work()
    for case, label in ((before, "Burns"), (after, "Scald")):
        case.refresh_from_db()
        lease = claim(case=case, user=cast.clinician)
        page = case_page(case=lease.case, user=cast.clinician, roles=frozenset({Role.CLINICIAN}))
        assert label in [one for one, _title, _key in page.labels]
        with pytest.raises(Refused, match="no label"):
            answer(case, cast.clinician, "Scald" if label == "Burns" else "Burns")
        answer(case, cast.clinician, label)


def answer(case: Case, user: User, label: str) -> None:
    case.refresh_from_db()
    lease = case.leases.get(ended_at=None)
    submit_review(case=case, user=user, token=lease.token, version=case.version, label=label)


def test_what_was_asked_is_known_even_when_the_file_has_changed(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = open_case(site=cast.clinic, data=photo()).case
    run = case.observation.runs.get()
    other = kept(write(cast).definition_id)
    monkeypatch.setattr("inference.services.definitions.load_domain", lambda _name: other)
    kept.cache_clear()
    assert asked(run) == WOUND
    assert domain_of(case) == WOUND
    run.pins["domain"]["digest"] = "f" * 64
    with pytest.raises(LookupError):
        asked(run)


def test_members_are_asked_by_the_version_that_the_run_pins(cast: Cast, second: User) -> None:
    """Jobs of two versions are never put to a member together."""
    open_case(site=cast.clinic, data=photo())
    publish(cast, write(cast, renamed("Burns", "Scald")), second)
    open_case(site=cast.clinic, data=photo((1, 2, 3)))
    work()
    hashes = {}
    for run in Run.objects.all():
        said = {trace.fields.get("label") for trace in run.traces.all()} - {None}
        assert said <= set(asked(run).label_ids)
        hashes[run.pk] = {trace.prompt_hash for trace in run.traces.filter(stage="comprehension")}
    first, other = hashes.values()
    assert len(first) == len(other) == 1
    assert first != other


def test_a_change_of_version_makes_the_older_policy_defer(cast: Cast, second: User) -> None:
    policy = make_policy(cast.clinic, threshold=1.0)
    rewrite(Calibration.objects.filter(policy=policy), ensemble=current_signature(WOUND))
    sure = open_case(site=cast.clinic, data=photo()).case
    publish(cast, write(cast), second)
    unsure = open_case(site=cast.clinic, data=photo((1, 2, 3))).case
    work()
    assert "other_ensemble" not in Decision.objects.get(case=sure).reasons
    assert Decision.objects.get(case=unsure).reasons == ["other_ensemble"]
    publish(cast, DomainVersion.objects.get(version=1), second)
    again = open_case(site=cast.clinic, data=photo((9, 9, 9))).case
    work()
    assert "other_ensemble" not in Decision.objects.get(case=again).reasons


# What pages say ----------------------------------------------------------------------------------


def states(cast: Cast) -> list[tuple[int | None, VersionState]]:
    found = domain_row(site=cast.clinic, domain_id="wound")
    assert found
    return [(one.number, one.state) for one in found.versions]


def test_how_versions_stand_at_a_site(cast: Cast, second: User) -> None:
    assert states(cast) == [(None, VersionState.IN_FORCE)]
    version = write(cast)
    assert states(cast) == [(2, VersionState.DRAFT), (1, VersionState.IN_FORCE)]
    publish(cast, version, second)
    assert states(cast) == [(2, VersionState.IN_FORCE), (1, VersionState.SHIPPED)]
    publish(cast, write(cast, edited(title="Third")), second)
    assert states(cast)[1] == (2, VersionState.RETIRED)


def test_the_page_says_before_what_a_publication_does(cast: Cast, second: User) -> None:
    version = write(cast, renamed("Burns", "Scald"))
    row = domain_row(site=cast.clinic, domain_id="wound")
    assert row
    page = version_page(site=cast.clinic, row=row, version=version, user=second)
    assert page.may_publish and "goes to a person" in page.effects[1]
    make_policy(cast.clinic)
    page = version_page(site=cast.clinic, row=row, version=version, user=cast.administrator)
    assert "defers every case until" in page.effects[1]
    assert not page.may_publish and "another administrator" in page.why_not
    changed = {(one.label, one.field) for one in page.differences}
    assert changed == {("", "prompt"), ("Scald", ""), ("Burns", "")}
    own = version_page(site=cast.clinic, row=row, version=row.versions[1].version, user=second)
    assert not own.effects and not own.may_publish and not own.differences


def test_a_policy_that_fits_again_is_promised_to_decide(cast: Cast, second: User) -> None:
    publish(cast, write(cast), second)
    policy = make_policy(cast.clinic)
    rewrite(Calibration.objects.filter(policy=policy), ensemble=current_signature(WOUND))
    row = domain_row(site=cast.clinic, domain_id="wound")
    assert row
    first = DomainVersion.objects.get(version=1)
    page = version_page(site=cast.clinic, row=row, version=first, user=second)
    assert "decides again" in page.effects[1]


def test_words_that_changed_are_marked_and_all_others_kept() -> None:
    other = kept_of(edited(prompt="Look well. Choose one of $labels."))
    (found,) = differences(kept_of(edited()), other)
    assert "".join(part.text for part in found.parts if part.change != "ins") == edited()["prompt"]
    assert "".join(part.text for part in found.parts if part.change != "del") == other.prompt
    assert {part.text for part in found.parts if part.change == "ins"} == {"well. Choose "}


def kept_of(content: Content) -> Any:
    from inference.pipeline.domains import domain_from

    return domain_from("wound", content)


def test_small_members_are_warned_of_and_none_is_said(
    cast: Cast, second: User, members: Path
) -> None:
    version = write(cast)
    row = domain_row(site=cast.clinic, domain_id="wound")
    assert row and row.members == ["a", "b", "c"]
    page = version_page(site=cast.clinic, row=row, version=version, user=second)
    assert len(page.effects) == 2
    small = '{ model = "x", domains = ["*"], options = { guided = true } }'
    members.with_name("small.toml").write_text(f"[members]\nlite0 = {small}\n")
    settings_members(members.with_name("small.toml"))
    page = version_page(site=cast.clinic, row=row, version=version, user=second)
    assert "lite0: these small members know only" in page.effects[2]
    settings_members(members.with_name("none.toml"))
    page = version_page(site=cast.clinic, row=row, version=version, user=second)
    assert "No member takes this domain" in page.effects[2]


def settings_members(path: Path) -> None:
    from django.conf import settings

    settings.ALARM_MEMBERS = path


def test_lists_ask_the_same_queries_however_many_cases(
    cast: Cast, second: User, django_assert_max_num_queries: Any
) -> None:
    publish(cast, write(cast), second)
    for shade in range(6):
        open_case(site=cast.clinic, data=photo((20 * shade, 2, 3)))
    kept(cast.clinic.definition_id or "")
    cases = with_details(Case.objects.filter(site=cast.clinic))
    with django_assert_max_num_queries(4):
        assert len(rows(cases, cast.clinician)) == 6


def test_the_domains_page_asks_once(cast: Cast, django_assert_max_num_queries: Any) -> None:
    for number in range(5):
        write(cast, equipment(), domain_id=f"equipment-{number}", new=True)
    domains_page(site=cast.clinic)
    with django_assert_max_num_queries(2):
        assert len(domains_page(site=cast.clinic)) == 8


# A site that uses it -----------------------------------------------------------------------------


def third_domain(cast: Cast) -> DomainVersion:
    return write(cast, equipment(), domain_id="equipment", new=True)


def add(cast: Cast, actor: User, version: DomainVersion | None, **more: Any) -> Site:
    wanted = {"name": "Boiler room", "kind": SiteKind.CLINIC, "domain": "equipment"} | more
    return add_site(beside=cast.clinic, version=version, actor=actor, **wanted)


def test_a_third_domain_is_used_from_photo_to_review(cast: Cast, second: User) -> None:
    version = third_domain(cast)
    with pytest.raises(Forbidden, match="yourself"):
        add(cast, cast.administrator, version)
    people = Membership.objects.filter(site=cast.clinic, user=cast.clinician)
    site = add(cast, second, version, people=list(people))
    assert (site.organisation, site.domain) == (cast.clinic.organisation, "equipment")
    assert domain_at(site).title == "Equipment"
    assert Learning.objects.get(site=site).ended_at is None
    assert not Policy.objects.filter(site=site).exists()
    roles = set(site.memberships.values_list("user__username", "role"))
    assert roles == {("second", "administrator"), ("clinician", "clinician")}
    case = open_case(site=site, data=photo(), actor=cast.clinician).case
    work()
    case.refresh_from_db()
    assert case.status == CaseStatus.DEFERRED
    assert {"no_policy", "learning_site"} <= kinds(Decision.objects.get(case=case).reasons)
    case = claim(case=case, user=cast.clinician).case
    page = case_page(case=case, user=cast.clinician, roles=frozenset({Role.CLINICIAN}))
    assert sorted(one for one, _title, _key in page.labels) == ["leak", "sound"]
    assert {key for _one, _title, key in page.labels} == {1, 2}
    answer(case, cast.clinician, "leak")
    case.refresh_from_db()
    assert (case.status, case.label) == (CaseStatus.RESOLVED, "leak")


def test_without_a_member_every_case_is_deferred_for_that_reason(
    cast: Cast, second: User, members: Path, django_capture_on_commit_callbacks: Commits
) -> None:
    site = add(cast, second, third_domain(cast))
    settings_members(members.with_name("none.toml"))
    with django_capture_on_commit_callbacks(execute=True):
        case = open_case(site=site, data=photo()).case
    case.refresh_from_db()
    assert case.status == CaseStatus.DEFERRED
    assert "no_members" in Decision.objects.get(case=case).reasons


@pytest.mark.parametrize("name", ["", "x" * 121, "a\nb", "a\0", "Clinic"])
def test_a_site_needs_a_name_of_its_own(cast: Cast, second: User, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        add(cast, second, third_domain(cast), name=name)
    assert "name" in caught.value.faults
    assert Site.objects.filter(organisation=cast.clinic.organisation).count() == 1


def test_a_site_of_a_shipped_domain_starts_as_the_first_one_did(cast: Cast) -> None:
    site = add(cast, cast.administrator, None, domain="home", kind=SiteKind.HOUSEHOLD)
    assert (site.definition_id, domain_at(site).id) == (None, "home")
    assert site.two_person_rule == cast.clinic.two_person_rule


def test_what_a_new_site_may_watch_for(cast: Cast) -> None:
    third_domain(cast)
    write(cast)
    choices = dict(domains_to_choose(cast.clinic))
    assert choices["equipment:1"] == "Equipment, version 1"
    assert choices["wound:2"] == "Wounds, version 2"
    assert choices["home"] == "Home, as shipped"
    assert not {"equipment:1", "wound:2"} & set(dict(domains_to_choose(cast.elsewhere)))


# Trials ------------------------------------------------------------------------------------------


def resolved(cast: Cast, truth: str, shade: int) -> Case:
    """A case that the members have answered and an expert too."""
    case = open_case(site=cast.clinic, data=photo((20 * shade, 90, 30))).case
    work()
    case.refresh_from_db()
    claim(case=case, user=cast.clinician)
    answer(case, cast.clinician, truth)
    case.refresh_from_db()
    return case


@pytest.fixture
def past(cast: Cast) -> list[Case]:
    return [resolved(cast, "Burns" if shade % 2 else "Cut", shade) for shade in range(5)]


def test_a_trial_asks_about_past_cases_and_decides_nothing(
    cast: Cast, past: list[Case], second: User
) -> None:
    before = list(Case.objects.order_by("pk").values_list("pk", "status", "label", "version"))
    decided = Decision.objects.count()
    version = write(cast)
    trial = start_trial(site=cast.clinic, version=version, cases=4, actor=cast.administrator)
    assert trial.cases == [str(case.pk) for case in reversed(past)][:4]
    assert trial.runs.count() == AT_ONCE, "what just came in does not wait behind a trial"
    page = trial_page(trial)
    assert (page.done, page.total, page.over) == (0, 4, False)
    work()
    trial.refresh_from_db()
    page = trial_page(trial)
    assert (page.done, page.over, page.failed) == (4, True, 0)
    assert {run.run.pins["domain"]["digest"] for run in trial.runs.all()} == {version.definition_id}
    assert all(run.run.trial for run in trial.runs.select_related("run"))
    for row in trial.runs.select_related("run"):
        assert decide(run=row.run) is None
    assert decide_overdue() == 0
    assert Decision.objects.count() == decided
    after = list(Case.objects.order_by("pk").values_list("pk", "status", "label", "version"))
    assert after == before
    case = past[-1]
    shown = case_page(case=case, user=cast.clinician, roles=frozenset({Role.CLINICIAN}))
    assert shown.run and not shown.run.trial


def scripted_trial(cast: Cast, version: DomainVersion, said: dict[Case, str]) -> Trial:
    """A trial in which all members say of each case what is given."""
    trial = Trial.objects.create(
        site=cast.clinic, version=version, cases=[str(case.pk) for case in said]
    )
    for case, label in said.items():
        run = Run.objects.create(
            observation=case.observation,
            trial=True,
            pins={"members": {name: {} for name in ("alpha", "beta", "gamma")}},
            ensemble="1" * 64,
            quorum=3,
            deadline_at=case.created_at,
        )
        trial.runs.create(case=case, run=run)
        for name in ("alpha", "beta", "gamma"):
            MemberJob.objects.create(run=run, member=name)
            add_answer(run, name, label, label, 0.1)
    for row in trial.runs.all():
        finish_run(run_id=row.run_id)
    return trial


def answered(cast: Cast, said: tuple[str, str, str], truth: str) -> Case:
    """A case about which three made-up members have said this, and an expert `truth`."""
    case = make_case(cast.clinic, said)
    claim(case=case, user=cast.clinician)
    answer(case, cast.clinician, truth)
    case.refresh_from_db()
    return case


def test_what_a_trial_shows(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    one = answered(cast, ("Burns", "Burns", "Cut"), "Cut")
    two = answered(cast, ("Cut", "Cut", "Burns"), "Cut")
    three = answered(cast, ("Cut", "Burns", "Bruises"), "Burns")
    version = write(cast, renamed("Burns", "Scald"))
    trial = scripted_trial(cast, version, {one: "Cut", two: "Bruises", three: "Scald"})
    page = trial_page(trial)
    assert (page.done, page.unknown, page.failed, page.objected) == (3, 1, 0, 0)
    assert (page.right.n, page.right.of) == (1, 2)
    assert (page.was_right.n, page.was_right.of) == (1, 2)
    changed = {
        row.case: (row.before, row.after, row.truth, row.right, row.was_right)
        for row in page.changed
    }
    assert changed[one] == ("Burn", "Cut", "Cut", True, False)
    assert changed[two] == ("Cut", "Bruise", "Cut", False, True)
    assert changed[three][1:3] == ("Scald", "Burn")
    assert page.deferred and page.was_deferred
    assert (page.deferred.n, page.deferred.of) == (0, 3), "the members agree on all"
    assert page.was_deferred.n == 3


def test_without_a_policy_deferral_is_not_told(cast: Cast) -> None:
    case = answered(cast, ("Burns", "Burns", "Cut"), "Cut")
    page = trial_page(scripted_trial(cast, write(cast), {case: "Cut"}))
    assert page.deferred is None and page.was_deferred is None


def test_a_share_is_told_with_its_bounds() -> None:
    rate = Rate(18, 20)
    assert rate.share == 0.9
    assert rate.low == pytest.approx(0.6830, abs=1e-4)
    assert rate.high == pytest.approx(0.9877, abs=1e-4)
    assert (Rate(0, 0).share, Rate(0, 0).low, Rate(0, 0).high) == (None, 0, 1)
    assert Rate(0, 5).low == 0 and Rate(5, 5).high == 1


def test_one_trial_at_a_time_and_none_without_reason(
    cast: Cast, past: list[Case], members: Path
) -> None:
    version = write(cast)
    for cases in (0, 201):
        with pytest.raises(Refused, match="1 to 200"):
            start_trial(site=cast.clinic, version=version, cases=cases, actor=cast.administrator)
    other = third_domain(cast)
    with pytest.raises(Refused, match="something else"):
        start_trial(site=cast.clinic, version=other, actor=cast.administrator)
    start_trial(site=cast.clinic, version=version, actor=cast.administrator)
    with pytest.raises(Conflict, match="Another trial"):
        start_trial(site=cast.clinic, version=version, actor=cast.administrator)
    settings_members(members.with_name("none.toml"))
    with pytest.raises(Refused, match="nobody to ask"):
        start_trial(site=cast.clinic, version=version, actor=cast.administrator)


def test_no_trial_without_past_cases_or_against_consent(cast: Cast) -> None:
    version = write(cast)
    with pytest.raises(Refused, match="No past case"):
        start_trial(site=cast.clinic, version=version, actor=cast.administrator)
    Consent.objects.create(site=cast.clinic, purpose=Purpose.WATCH, given=False)
    with pytest.raises(Refused, match="consent"):
        start_trial(site=cast.clinic, version=version, actor=cast.administrator)


def test_the_sweep_goes_on_with_a_trial_and_ends_one_without_members(
    cast: Cast, past: list[Case], members: Path
) -> None:
    version = write(cast)
    trial = start_trial(site=cast.clinic, version=version, actor=cast.administrator)
    assert advance_all() == 1 and trial.runs.count() == AT_ONCE
    Run.objects.filter(trial=True).update(status=Run.Status.FAILED)
    assert advance_all() == 1
    assert trial.runs.count() == 2 * AT_ONCE
    settings_members(members.with_name("none.toml"))
    Run.objects.filter(trial=True).update(status=Run.Status.FAILED)
    advance(trial_id=trial.pk)
    trial.refresh_from_db()
    assert trial.ended_at
    assert not advance(trial_id=trial.pk)
    gone = Trial.objects.create(site=cast.clinic, version=version, cases=[str(trial.pk).zfill(32)])
    assert advance(trial_id=gone.pk), "what was deleted meanwhile holds nothing up"
    gone.refresh_from_db()
    assert gone.ended_at
    assert newest_trial(cast.clinic, version) == gone
    assert newest_trial(cast.elsewhere, version) is None


def test_no_module_of_triage_takes_the_file_where_a_version_may_be_in_force() -> None:
    """`domain_at` and `domain_of` know what holds; `load_domain` knows only what ships."""
    allowed = {
        "views/domains.py",
        "selectors/words.py",
        "selectors/domains.py",
        "services/domains.py",
    }
    allowed |= {"simulation/loop.py", "management/commands/simulate.py", "services/sites.py"}
    folder = Path("triage")
    found = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if "load_domain" in path.read_text()
    }
    assert found <= allowed


def test_keeping_twice_keeps_one(cast: Cast) -> None:
    assert keep(WOUND) == keep(WOUND) == WOUND.digest
    assert Definition.objects.count() == 1
    assert make_site().definition_id is None
