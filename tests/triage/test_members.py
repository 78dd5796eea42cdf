"""A member is added by a person with staff rights, tried before it counts, taken in by a second."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from PIL import Image

from inference import dispatch, ensemble
from inference.drawings.samples import samples
from inference.models import Member, Probe, Run
from inference.pipeline.domains import load_domain
from inference.services import probes
from inference.services.runs import open_run
from tests.factories import make_case, make_policy, make_user
from tests.triage.conftest import Cast
from tests.triage.test_ensemble import client_of, resolved
from triage.choices import Purpose, Role
from triage.errors import Conflict, Forbidden, Refused
from triage.models import AuditEvent, Consent, Site
from triage.selectors.candidates import added_members, known_cases
from triage.services import members

pytestmark = pytest.mark.django_db
NEW = {"name": "mine", "backend": "huggingface", "model": "org/model", "domains": ["wound"]}


@pytest.fixture
def staff(cast: Cast) -> User:
    cast.administrator.is_staff = True
    cast.administrator.save()
    return cast.administrator


@pytest.fixture
def second(cast: Cast) -> User:
    other = make_user(cast.clinic, Role.ADMINISTRATOR, "second")
    other.is_staff = True
    other.save()
    return other


def candidate(actor: User, name: str = "mine", **options: object) -> Member:
    """One that a scripted backend answers for."""
    return Member.objects.create(
        name=name,
        backend="scripted",
        model=name,
        domains=["wound"],
        added_by=actor,
        options=options,
    )


def tried(member: Member, actor: User, site: Site, *, cases: bool = False) -> list[Probe]:
    asked = members.start_trial(member=member, site=site, actor=actor, cases=cases)
    for probe in asked:
        probes.execute_probe(probe_id=probe.pk)
    return asked


def test_who_has_no_staff_rights_changes_nothing(cast: Cast, staff: User) -> None:
    member = candidate(staff)
    other = make_user(cast.clinic, Role.ADMINISTRATOR)
    for act in (
        lambda: members.add_member(actor=other, **NEW),  # type: ignore[arg-type]
        lambda: members.start_trial(member=member, site=cast.clinic, actor=other, cases=False),
        lambda: members.take_in(member=member, actor=other),
        lambda: members.retire(member=member, actor=other),
    ):
        with pytest.raises(Forbidden, match="staff rights"):
            act()
    shown = client_of(other).get(reverse("ensemble")).content.decode()
    assert "Add a member" not in shown and "an administrator with staff rights" in shown
    assert client_of(other).post(reverse("retire-member", args=[member.pk])).status_code == 403
    assert (
        client_of(other).post("/api/v1/ensemble/members", NEW, "application/json").status_code
        == 403
    )


def test_a_candidate_counts_for_nothing(cast: Cast, staff: User) -> None:
    before = ensemble.members_of("wound")
    members.add_member(actor=staff, **NEW)  # type: ignore[arg-type]
    assert ensemble.members_of("wound") == before
    told = set(AuditEvent.objects.filter(verb="member added").values_list("site", flat=True))
    assert told == {cast.clinic.pk, cast.elsewhere.pk}, "all sites that watch for its domain"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "Mine"}, "A name is"),
        ({"name": "lite0"}, "members' file has"),
        ({"domains": []}, "Choose one or more"),
        ({"domains": ["garden"]}, "Choose one or more"),
        ({"backend": "scripted"}, "a folder or a server"),
        ({"model": "/etc"}, "A model is a folder"),
        ({"model": "../../etc"}, "A model is a folder"),
        ({"model": ""}, "A model is a folder"),
        ({"model": "org/../x"}, "A model is a folder"),
    ],
)
def test_what_cannot_be_is_refused(
    cast: Cast, staff: User, changed: dict[str, object], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        members.add_member(actor=staff, **{**NEW, **changed})  # type: ignore[arg-type]
    assert not Member.objects.exists()


def test_a_name_never_comes_twice(cast: Cast, staff: User) -> None:
    members.retire(member=members.add_member(actor=staff, **NEW), actor=staff)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="There was a member mine before"):
        members.add_member(actor=staff, **NEW)  # type: ignore[arg-type]


def test_a_folder_is_one_of_the_operators(
    cast: Cast, staff: User, settings: object, tmp_path: Path
) -> None:
    settings.ALARM_MODEL_FOLDER = tmp_path / "models"  # type: ignore[attr-defined]
    (tmp_path / "models" / "llava").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "models" / "out").symlink_to(tmp_path / "secret")
    added = members.add_member(actor=staff, **{**NEW, "model": "llava"})  # type: ignore[arg-type]
    assert added.model == str(tmp_path / "models" / "llava")
    for outside in ("out", "../secret", ".", str(tmp_path / "secret")):
        with pytest.raises(Refused, match="A model is a folder"):
            members.add_member(actor=staff, **{**NEW, "name": "x", "model": outside})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://models.example.org/v1", ""),
        ("http://models.example.org/v1", "say https"),
        ("http://127.0.0.1:8080/v1", ""),
        ("http://127.0.0.1:6379/v1", "not among ALARM_MODEL_HOSTS"),
        ("http://10.0.0.5/v1", ""),
        ("http://gpu/v1", ""),
        ("https://169.254.169.254/latest", "not among"),
        ("https://models.example.org.evil.test/v1", "not among"),
        ("https://models.example.org@evil.test/v1", "must look like"),
        ("file:///etc/passwd", "must look like"),
        ("https://[::1", "cannot be read"),
        ("", "must look like"),
    ],
)
def test_only_servers_that_the_operator_allows_are_asked(
    settings: object, url: str, words: str
) -> None:
    settings.ALARM_MODEL_HOSTS = ["models.example.org", "127.0.0.1:8080", "10.0.0.5", "gpu"]  # type: ignore[attr-defined]
    problem = ensemble.address_problem(url)
    assert words in problem if words else not problem


@pytest.mark.parametrize("variable", ["SECRET_KEY", "DATABASE_URL", "qwen_api_key", "sk-123"])
def test_no_other_secret_is_sent_away_by_its_name(
    cast: Cast, staff: User, settings: object, variable: str
) -> None:
    settings.ALARM_MODEL_HOSTS = ["gpu"]  # type: ignore[attr-defined]
    server = {"backend": "openai_compatible", "base_url": "http://gpu/v1"}
    with pytest.raises(Refused, match="A key is named by"):
        members.add_member(actor=staff, **NEW | server, api_key_env=variable)  # type: ignore[arg-type]
    added = members.add_member(actor=staff, **NEW | server, api_key_env="QWEN_API_KEY")  # type: ignore[arg-type]
    assert added.options == {"base_url": "http://gpu/v1", "api_key_env": "QWEN_API_KEY"}


def test_a_server_that_is_not_allowed_any_more_is_not_asked(
    cast: Cast, staff: User, settings: object
) -> None:
    member = candidate(staff)
    Member.objects.filter(pk=member.pk).update(
        backend="openai_compatible", options={"base_url": "http://gpu/v1"}
    )
    settings.ALARM_MODEL_HOSTS = []  # type: ignore[attr-defined]
    [first, *_] = tried(Member.objects.get(), staff, cast.clinic)
    assert "not among ALARM_MODEL_HOSTS" in Probe.objects.get(pk=first.pk).error


def test_a_trial_asks_about_drawings_and_ones_own_cases(cast: Cast, staff: User) -> None:
    make_policy(cast.clinic)
    case, _other = resolved(cast.clinic, "Burns"), resolved(cast.elsewhere, "Cut")
    asked = members.start_trial(member=candidate(staff), site=cast.clinic, actor=staff, cases=True)
    assert [one.sample for one in asked if one.sample] == [one.name for one in samples("wound")]
    [about] = [one for one in asked if one.observation_id]
    assert (about.observation_id, about.expected, about.said) == (
        case.observation_id,
        "Burns",
        "Burns",
    )
    with pytest.raises(Conflict, match="going on"):
        members.start_trial(member=Member.objects.get(), site=cast.clinic, actor=staff, cases=False)


def test_without_consent_no_picture_of_theirs_is_tried_on(cast: Cast) -> None:
    make_policy(cast.household)
    resolved(cast.household, "pet", ("pet", "pet", "person"))
    assert len(known_cases(cast.household)) == 1
    Consent.objects.create(
        site=cast.household, person=cast.caregiver, purpose=Purpose.LEARN, given=False
    )
    assert known_cases(cast.household) == []


def test_a_trial_shows_what_it_said_and_how_often_it_was_right(
    cast: Cast, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [one.label for one in samples("wound")]
    label = {"label": drawn[0]}
    member = candidate(staff, answers={"any": label, "reflection": label})
    tried(member, staff, cast.clinic)
    [row] = added_members(cast.clinic)
    assert row.trial and row.why_not == ""
    assert (row.trial.asked, row.trial.read, row.trial.open) == (len(drawn), len(drawn), 0)
    assert row.trial.experts and row.trial.experts.right == drawn.count(drawn[0])
    assert row.trial.ensemble is None and row.trial.seconds
    assert row.trial.answers[0].reasoning.startswith("Scripted reasoning")
    assert added_members(cast.household) == [], "it is not asked about homes"


def test_another_sites_cases_do_not_show(
    cast: Cast, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_policy(cast.clinic)
    resolved(cast.clinic, "Burns")
    monkeypatch.setattr(probes, "frames_of", lambda _observation: [Image.new("RGB", (8, 8))])
    tried(candidate(staff), staff, cast.clinic, cases=True)
    [here], [there] = added_members(cast.clinic), added_members(cast.elsewhere)
    assert here.trial and there.trial
    assert (here.trial.asked, there.trial.asked) == (
        len(samples("wound")) + 1,
        len(samples("wound")),
    )
    assert here.trial.ensemble and there.trial.ensemble is None


def test_only_who_can_answer_is_taken_in_and_by_a_second_person(
    cast: Cast, staff: User, second: User
) -> None:
    member = candidate(staff)
    with pytest.raises(Conflict, match="not tried yet"):
        members.take_in(member=member, actor=second)
    members.start_trial(member=member, site=cast.clinic, actor=staff, cases=False)
    with pytest.raises(Conflict, match="going on"):
        members.take_in(member=member, actor=second)
    for probe in Probe.objects.all():
        probes.execute_probe(probe_id=probe.pk)
    with pytest.raises(Forbidden, match="You added it yourself"):
        members.take_in(member=member, actor=staff)
    assert members.take_in(member=member, actor=second).taken_in_by == second
    with pytest.raises(Conflict, match="changed meanwhile"):
        members.take_in(member=member, actor=second)


def test_one_person_suffices_where_no_site_wants_two(cast: Cast, staff: User) -> None:
    Site.objects.filter(domain="wound").update(two_person_rule=False)
    member = candidate(staff)
    tried(member, staff, cast.clinic)
    assert members.take_in(member=member, actor=staff).status == Member.Status.ACTIVE


@pytest.mark.parametrize("fault", ["garbage", "unavailable"])
def test_one_whose_answers_cannot_be_read_is_not_taken_in(
    cast: Cast, staff: User, second: User, fault: str
) -> None:
    member = candidate(staff, fail=fault)
    tried(member, staff, cast.clinic)
    with pytest.raises(Conflict, match="answers only 0 could be read"):
        members.take_in(member=member, actor=second)
    [row] = added_members(cast.clinic)
    assert row.trial and row.trial.errors


def test_from_the_next_case_on_it_is_asked_and_the_old_policy_defers(
    cast: Cast, staff: User, second: User
) -> None:
    before = signature_now()
    member = candidate(staff)
    tried(member, staff, cast.clinic)
    members.take_in(member=member, actor=second)
    assert [spec.name for spec in ensemble.members_of("wound")][-1] == "mine"
    assert signature_now() != before
    case = make_case(cast.clinic, finish=False)
    Run.objects.all().delete()
    run = open_run(observation=case.observation)
    assert run.jobs.filter(member="mine").exists() and run.ensemble != before
    assert dispatch.queues_of({"mine", "lite0"}) == {
        "mine": "members.added",
        "lite0": "member.lite0",
    }
    members.retire(member=member, actor=staff)
    assert signature_now() == before
    job = run.jobs.get(member="mine")
    with pytest.raises(LookupError):
        ensemble.member(job.member)


def signature_now() -> str:
    return ensemble.current_signature(load_domain("wound"))


def test_a_member_of_the_file_is_the_files(cast: Cast, staff: User) -> None:
    Member.objects.create(
        name="lite0", backend="scripted", model="x", domains=["wound"], status="active"
    )
    assert [one.backend for one in ensemble.all_members() if one.name == "lite0"] == ["huggingface"]


def test_a_member_is_never_rewritten(cast: Cast, staff: User) -> None:
    member = candidate(staff)
    member.model = "another"
    with pytest.raises(TypeError, match="immutable"):
        member.save()
    with pytest.raises(TypeError, match="immutable"):
        member.save(update_fields=["status", "model"])


def test_workers_listen_to_what_is_added_later(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("queues")
    assert "members.added" in capsys.readouterr().out.split(",")


def test_the_page_adds_tries_takes_in_and_retires(cast: Cast, staff: User, second: User) -> None:
    client = client_of(staff)
    wrong = client.post(reverse("add-member"), NEW | {"model": "/etc"})
    assert wrong.status_code == 422
    assert (
        "A model is a folder" in wrong.content.decode() and 'value="/etc"' in wrong.content.decode()
    )
    shown = client.post(reverse("add-member"), NEW, follow=True).content.decode()
    assert "mine is a candidate. Try it before it counts." in shown
    member = Member.objects.get()
    Member.objects.filter(pk=member.pk).update(backend="scripted")
    shown = client.post(reverse("try-member", args=[member.pk]), follow=True).content.decode()
    assert "Its trial is going on." in shown and "Take it into the ensemble" not in shown
    for probe in Probe.objects.all():
        probes.execute_probe(probe_id=probe.pk)
    shown = client.get(reverse("ensemble")).content.decode()
    assert "everything is deferred until" in shown
    client = client_of(second)
    shown = client.post(reverse("take-in-member", args=[member.pk]), follow=True).content.decode()
    assert "mine is a member. Everything is deferred until a refit." in shown
    client.post(reverse("retire-member", args=[member.pk]))
    member.refresh_from_db()
    assert (member.status, member.ended_by) == ("retired", second)
    verbs = AuditEvent.objects.filter(site=cast.clinic, verb__startswith="member")
    assert list(verbs.values_list("verb", flat=True)) == [
        "member added",
        "member tried",
        "member taken in",
        "member retired",
    ]


def test_the_api_does_the_same(cast: Cast, staff: User, second: User) -> None:
    client: Client = client_of(staff)
    added = client.post("/api/v1/ensemble/members", NEW, "application/json")
    assert (added.status_code, added.json()["status"]) == (201, "candidate")
    pk = added.json()["id"]
    Member.objects.filter(pk=pk).update(backend="scripted")
    begun = client.post(f"/api/v1/ensemble/members/{pk}/try", {}, "application/json")
    assert (begun.status_code, len(begun.json())) == (202, len(samples("wound")))
    for probe in Probe.objects.all():
        probes.execute_probe(probe_id=probe.pk)
    [row] = client_of(cast.clinician).get("/api/v1/ensemble/members").json()
    assert (row["trial"]["read"], row["why_not"]) == (len(samples("wound")), "")
    own = client.post(f"/api/v1/ensemble/members/{pk}/take-in")
    assert (own.status_code, own.json()["code"]) == (403, "two_person_rule")
    taken = client_of(second).post(f"/api/v1/ensemble/members/{pk}/take-in")
    assert taken.json()["status"] == "active"
    assert client.post(f"/api/v1/ensemble/members/{pk}/retire").json()["status"] == "retired"
    assert client.post("/api/v1/ensemble/members/999/retire").status_code == 404
