"""A new camera and a new site ask people about everything, until their labels show enough."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inference.uq.thresholds import clopper_pearson_upper
from tests.factories import (
    SIGNATURE,
    make_camera,
    make_case,
    make_policy,
    make_site,
    make_user,
)
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage import tasks
from triage.choices import CaseStatus, PolicyMode, PolicyStatus, SiteKind
from triage.errors import Conflict
from triage.models import (
    AuditEvent,
    Calibration,
    Case,
    Decision,
    DeviceToken,
    Learning,
    Organisation,
    Policy,
    Site,
)
from triage.reasons import in_words
from triage.selectors import learning as selector
from triage.selectors.evidence import gather
from triage.selectors.fitted import fitted_of
from triage.selectors.learning import Source, Standing, in_a_sentence, is_learning
from triage.selectors.policies import policies_page, policy_page
from triage.selectors.rows import is_blind
from triage.selectors.rules import Rule
from triage.services import calibration, learning, queue, reviews
from triage.services.replay import replay
from triage.services.sites import open_site
from triage.services.tokens import find_token, issue_token

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")
Signed = Callable[[str], Client]


@pytest.fixture(autouse=True)
def this_ensemble(monkeypatch: pytest.MonkeyPatch) -> None:
    """The members that the factories' runs are of are configured."""
    for module in (calibration, selector):
        monkeypatch.setattr(module, "current_signature", lambda _domain: SIGNATURE)


@pytest.fixture
def camera(cast: Cast) -> DeviceToken:
    """A new camera at a clinic where a policy is in force."""
    make_policy(cast.clinic)
    return make_camera(cast.clinic, "door", learning=True)


@pytest.fixture
def signed(cast: Cast) -> Signed:
    def as_person(name: str) -> Client:
        client = Client()
        client.force_login(getattr(cast, name))
        return client

    return as_person


def source(camera: DeviceToken) -> Source:
    return Source(camera.site, camera.site.domain, camera)


def answered(
    site: Site,
    count: int,
    truth: str = "Burns",
    *,
    labels: tuple[str, ...] = SURE,
    camera: DeviceToken | None = None,
) -> None:
    for _ in range(count):
        case = make_case(site, labels, camera=camera)
        Case.objects.filter(pk=case.pk).update(
            status=CaseStatus.RESOLVED,
            waiting_due_at=None,
            label=truth,
            resolved_at=case.created_at,
        )


def reasons(case: Case) -> list[str]:
    return list(Decision.objects.get(case=case).reasons)


def test_a_new_cameras_surest_case_goes_to_a_person(camera: DeviceToken) -> None:
    case = make_case(camera.site, SURE, camera=camera)
    assert (case.status, reasons(case)) == (CaseStatus.DEFERRED, ["learning:30"])
    assert Decision.objects.get(case=case).label_probability == 1.0
    assert in_words("learning:30").startswith("This camera is learning: until at least 30 of its")
    unsure = make_case(camera.site, SPLIT, camera=camera)
    assert reasons(unsure) == ["above_threshold", "learning:30"]


def test_what_only_learning_defers_is_answered_blind(camera: DeviceToken) -> None:
    """An answer given in view of the machine's would only measure agreement."""
    sure, unsure = (make_case(camera.site, one, camera=camera) for one in (SURE, SPLIT))
    reader = make_user(camera.site)
    assert is_blind(sure, reader)
    assert not is_blind(unsure, reader)
    Case.objects.filter(pk=sure.pk).update(
        status=CaseStatus.RESOLVED, waiting_due_at=None, label="Burns"
    )
    assert not is_blind(Case.objects.get(pk=sure.pk), reader)


def test_the_site_and_its_other_cameras_go_on(camera: DeviceToken) -> None:
    assert make_case(camera.site, SURE).status == CaseStatus.ACCEPTED
    old = make_camera(camera.site, "kitchen")
    assert make_case(camera.site, SURE, camera=old).status == CaseStatus.ACCEPTED


def test_a_new_site_learns_from_what_its_people_send() -> None:
    site = make_site(learning=True)
    make_policy(site)
    assert reasons(make_case(site, SURE)) == ["learning_site:30"]
    assert in_words("learning_site:30").startswith("This site is learning: until")


def test_who_has_no_row_at_all_is_new(cast: Cast) -> None:
    make_policy(cast.clinic)
    Learning.objects.all().delete()
    assert make_case(cast.clinic, SURE).status == CaseStatus.DEFERRED
    learning.end_by_hand(source=Source(cast.clinic, "wound"), actor=cast.administrator)
    assert make_case(cast.clinic, SURE).status == CaseStatus.ACCEPTED


def test_who_has_no_row_at_all_earns_trust_like_others(camera: DeviceToken) -> None:
    Learning.objects.all().delete()
    answered(camera.site, 30, camera=camera)
    assert learning.end_where_earned(site=camera.site, domain="wound") == 1
    assert not is_learning(source(camera))


def test_answers_from_before_it_learns_again_end_nothing(
    cast: Cast, camera: DeviceToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(camera.site, 30, camera=camera)

    def meanwhile(of: Source, since: object) -> Standing:
        learning.end_by_hand(source=of, actor=cast.administrator)
        learning.start_again(source=of, actor=cast.administrator)
        return Standing(30, 30, 30, 0)

    monkeypatch.setattr(learning, "standing", meanwhile)
    assert learning.end_where_earned(site=camera.site, domain="wound") == 0
    assert is_learning(source(camera))


def test_sites_and_cameras_start_in_learning_mode() -> None:
    organisation = Organisation.objects.create(name="New")
    options = {"organisation": organisation, "kind": SiteKind.CLINIC, "domain": "home"}
    new, trusted = (
        open_site(name=name, trusted=name == "b", **options)  # type: ignore[arg-type]
        for name in ("a", "b")
    )
    assert is_learning(Source(new, "home"))
    assert not is_learning(Source(trusted, "home"))
    issue_token(site=trusted, name="new")
    issue_token(site=trusted, name="known", trusted=True)
    call_command("token", "b", "from the command")
    found = {row.name: is_learning(source(row)) for row in DeviceToken.objects.all()}
    assert found == {"new": True, "known": False, "from the command": True}


def test_who_was_in_use_before_there_was_learning_is_trusted(cast: Cast) -> None:
    camera = make_camera(cast.clinic)
    Learning.objects.all().delete()
    migration = import_module("triage.migrations.0002_learning")
    migration.trust_who_is_here(apps, None)
    assert not is_learning(source(camera))
    assert not is_learning(Source(cast.clinic, "wound"))
    assert not is_learning(Source(cast.household, "home"))
    assert Learning.objects.count() == Site.objects.count() + 1


def test_a_case_knows_the_camera_that_sent_it(
    cast: Cast, tmp_path: Path, settings: object, signed: Signed
) -> None:
    settings.ALARM_MEMBERS = tmp_path / "none.toml"  # type: ignore[attr-defined]
    settings.MEDIA_ROOT = tmp_path  # type: ignore[attr-defined]
    token = issue_token(site=cast.clinic, name="door")
    device = Client(headers={"Authorization": f"Bearer {token}"})
    for client, side in ((device, 40), (signed("clinician"), 41)):
        upload = SimpleUploadedFile("a.jpg", photo(side=side))
        assert client.post("/api/v1/observations", {"file": upload}).status_code == 201
    sent, by_hand = Case.objects.order_by("created_at")
    assert sent.camera == DeviceToken.objects.get()
    assert by_hand.camera is None


def test_enough_right_answers_end_it(camera: DeviceToken) -> None:
    answered(camera.site, 29, camera=camera)
    assert learning.end_where_earned(site=camera.site, domain="wound") == 0
    answered(camera.site, 1, camera=camera)
    assert learning.end_where_earned(site=camera.site, domain="wound") == 1
    assert make_case(camera.site, SURE, camera=camera).status == CaseStatus.ACCEPTED
    row = Learning.objects.get(camera=camera)
    assert row.ended_by is None
    assert row.evidence == {"checked": 30, "right": 30, "acceptable": 30, "wrong": 0}
    event = AuditEvent.objects.get(verb="learning ended")
    assert (event.actor, event.details["camera"], event.details["checked"]) == (None, "door", 30)
    assert learning.end_where_earned(site=camera.site, domain="wound") == 0


def test_the_worker_looks_after_an_answer(cast: Cast, camera: DeviceToken) -> None:
    answered(camera.site, 29, camera=camera)
    case = make_case(camera.site, SURE, camera=camera)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label="Burns", version=case.version
    )
    tasks.learn_from_answer(camera.site.pk, "wound")
    assert not is_learning(source(camera))


def test_every_answer_tells_the_worker(
    cast: Cast,
    camera: DeviceToken,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., object],
) -> None:
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr("inference.dispatch.hint", lambda *args, **_: told.append(args))
    case = make_case(camera.site, SURE, camera=camera)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        reviews.submit_review(
            case=case, token=lease.token, user=cast.clinician, label="Burns", version=case.version
        )
    assert (reviews.LEARN, camera.site.pk, "wound") in told


def test_another_sources_answers_do_not_count(camera: DeviceToken) -> None:
    answered(camera.site, 30)
    answered(camera.site, 30, camera=make_camera(camera.site, "kitchen"))
    assert learning.end_where_earned(site=camera.site, domain="wound") == 0
    assert selector.standing(source(camera), None).checked == 0


def test_unsure_cases_count_as_checked_but_prove_nothing(camera: DeviceToken) -> None:
    answered(camera.site, 19, camera=camera)
    answered(camera.site, 30, labels=SPLIT, camera=camera)
    found = selector.standing(source(camera), None)
    assert found == Standing(checked=49, right=49, acceptable=19, wrong=0)
    assert not found.earned
    answered(camera.site, 1, camera=camera)
    assert selector.standing(source(camera), None).earned


def test_wrong_answers_among_the_unsure_do_not_object(camera: DeviceToken) -> None:
    answered(camera.site, 20, camera=camera)
    answered(camera.site, 10, "Cut", labels=SPLIT, camera=camera)
    found = selector.standing(source(camera), None)
    assert found == Standing(checked=30, right=20, acceptable=20, wrong=0)
    assert found.earned


def test_too_many_wrong_among_the_sure_keep_it_learning(camera: DeviceToken) -> None:
    answered(camera.site, 25, camera=camera)
    answered(camera.site, 6, "Cut", camera=camera)
    found = selector.standing(source(camera), None)
    assert (found.acceptable, found.wrong, found.enough) == (31, 6, True)
    assert found.most_wrong == pytest.approx(clopper_pearson_upper(6, 31, 0.1))
    assert learning.end_where_earned(site=camera.site, domain="wound") == 0


@pytest.mark.parametrize(
    ("acceptable", "wrong", "earned"), [(20, 1, True), (20, 2, False), (19, 0, False)]
)
def test_the_bound_is_a_fifth_at_ninety_per_cent(acceptable: int, wrong: int, earned: bool) -> None:
    assert Standing(30, 30 - wrong, acceptable, wrong).earned is earned
    assert not Standing(29, 29, 29, 0).earned


def test_a_camera_on_which_it_often_fails_is_hardly_ever_trusted() -> None:
    """Looking after each of 200 answers is more lenient than one look; audits go on measuring."""
    limit = {
        n: max(w for w in range(n) if clopper_pearson_upper(w, n, 0.1) <= selector.MOST_WRONG)
        for n in range(20, 201)
    }
    most = np.array([limit[n] for n in range(20, 201)])
    rng = np.random.default_rng(0)

    def trusted(error_rate: float) -> float:
        wrong = (rng.random((2000, 200)) < error_rate).cumsum(axis=1)[:, 19:]
        return float((wrong <= most).any(axis=1).mean())

    assert trusted(0.05) > 0.99
    assert trusted(0.30) < 0.03
    assert trusted(0.40) < 0.005


def test_without_a_policy_that_accepts_nothing_is_proven(camera: DeviceToken) -> None:
    answered(camera.site, 30, camera=camera)
    Policy.objects.update(status=PolicyStatus.RETIRED)
    assert selector.standing(source(camera), None) == Standing(checked=30, right=30)
    make_policy(camera.site, threshold=None, mode=PolicyMode.DEFER_ALL)
    assert selector.standing(source(camera), None).acceptable == 0


def test_an_administrator_ends_it_and_starts_it_again(cast: Cast, camera: DeviceToken) -> None:
    answered(camera.site, 30, camera=camera)
    with pytest.raises(Conflict, match="door is learning already"):
        learning.start_again(source=source(camera), actor=cast.administrator)
    learning.end_by_hand(source=source(camera), actor=cast.administrator)
    assert Learning.objects.get(camera=camera).ended_by == cast.administrator
    assert make_case(camera.site, SURE, camera=camera).status == CaseStatus.ACCEPTED
    with pytest.raises(Conflict, match="door is not learning any more"):
        learning.end_by_hand(source=source(camera), actor=cast.administrator)
    row = learning.start_again(source=source(camera), actor=cast.administrator)
    assert make_case(camera.site, SURE, camera=camera).status == CaseStatus.DEFERRED
    assert selector.standing(source(camera), row.started_at).checked == 0, "old labels are old"
    assert learning.end_where_earned(site=camera.site, domain="wound") == 0
    events = AuditEvent.objects.filter(verb__startswith="learning").values_list("verb", "actor")
    assert list(events) == [
        ("learning ended", cast.administrator.pk),
        ("learning started", cast.administrator.pk),
    ]


def test_the_database_keeps_one_open_row_a_source(camera: DeviceToken) -> None:
    for one in (source(camera), Source(make_site(learning=True), "wound")):
        if one.camera is None:
            assert is_learning(one)
        with pytest.raises(IntegrityError), transaction.atomic():
            learning.begin(one)


def test_the_page_ends_and_starts_it(cast: Cast, camera: DeviceToken, signed: Signed) -> None:
    client = signed("administrator")
    shown = client.get(reverse("policies")).content.decode()
    assert "0 of at least 30 checked, 0 right." in shown
    assert f'action="{reverse("end-learning")}"' in shown
    assert "End learning" not in signed("clinician").get(reverse("policies")).content.decode()
    answer = client.post(reverse("end-learning"), {"camera": camera.pk}, follow=True)
    assert "Learning was ended by administrator." in answer.content.decode()
    assert not is_learning(source(camera))
    client.post(reverse("start-learning"), {"camera": camera.pk})
    assert is_learning(source(camera))
    client.post(reverse("start-learning"))
    assert is_learning(Source(cast.clinic, "wound"))
    again = client.post(reverse("start-learning"), {"camera": camera.pk}, follow=True)
    assert "door is learning already" in again.content.decode()


def test_the_page_lists_the_site_and_every_camera_that_may_send(
    cast: Cast, camera: DeviceToken
) -> None:
    gone = make_camera(cast.clinic, "gone")
    DeviceToken.objects.filter(pk=gone.pk).update(revoked_at=gone.created_at)
    make_camera(cast.elsewhere, "elsewhere")
    rows = policies_page(site=cast.clinic, user=cast.administrator).sources
    assert [(row.camera, row.name, row.learning) for row in rows] == [
        (None, "What people send", False),
        (camera.pk, "door", True),
    ]
    assert rows[0].sentence == "It was trusted from the start."


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Standing(12, 11, 9, 1), "12 of at least 30 checked, 11 right."),
        (Standing(34, 30, 15, 0), "accepted 15 of them; at least 20 are needed."),
        (
            Standing(40, 30, 22, 5),
            "But 5 of the 22 that it would have accepted were wrong: up to 38% may be, "
            "and 20% is the limit. It goes on learning.",
        ),
        (Standing(40, 38, 30, 1), "That is enough: learning ends with the next answer."),
    ],
)
def test_where_it_stands_is_said_honestly(found: Standing, words: str) -> None:
    assert words in in_a_sentence(found)


def test_who_has_earned_it_says_by_what(cast: Cast, camera: DeviceToken) -> None:
    answered(camera.site, 30, camera=camera)
    learning.end_where_earned(site=camera.site, domain="wound")
    row = policies_page(site=cast.clinic, user=cast.administrator).sources[1]
    assert (row.learning, row.sentence) == (
        False,
        "It has earned it: 30 cases checked, 30 right.",
    )


def test_a_replay_accepts_nothing_of_a_camera_that_was_learning(camera: DeviceToken) -> None:
    answered(camera.site, 4, camera=camera)
    make_case(camera.site, SURE)
    policy = Policy.objects.get()
    evidence = gather(site=camera.site, domain="wound", ensemble=SIGNATURE)
    assert evidence is not None and policy.calibration is not None
    assert evidence.learning.tolist() == [False, True, True, True, True]
    assert evidence.trusted.all(), "its labels are good evidence"
    assert evidence.take(evidence.learning).learning.all()
    rule = Rule(fitted_of(policy.calibration), policy.method, 9.0)
    shown = replay(rule=rule, current=policy, evidence=evidence)
    assert (shown["n"], shown["learning"], shown["flip_count"]) == (5, 4, 0)
    assert shown["proposed"]["deferral"] == shown["current"]["deferral"] == pytest.approx(0.8)
    assert shown["curve"] == [], "nobody has labelled a case that could have been accepted"


def test_a_policys_page_says_how_many_cases_were_learning(cast: Cast, camera: DeviceToken) -> None:
    answered(camera.site, 6, camera=camera)
    draft = calibration.refit(site=cast.clinic, domain="wound")
    assert draft.replay["learning"] == 6
    page = policy_page(policy=draft, user=cast.administrator)
    assert "6 of these cases came while their camera or site was learning" in page.caveat
    old = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    assert "learning" not in policy_page(policy=old, user=cast.administrator).caveat


def test_labels_of_a_learning_camera_raise_the_threshold_as_any(camera: DeviceToken) -> None:
    answered(camera.site, 10, camera=camera)
    evidence = gather(site=camera.site, domain="wound", ensemble=SIGNATURE)
    fitted = fitted_of(Calibration.objects.get())
    rows = calibration.labelled_rows(fitted, "cold_start", evidence, own=False)
    assert rows.own.sum() == 10


def test_many_new_cameras_cost_no_more_queries_than_one(
    cast: Cast, camera: DeviceToken, django_assert_num_queries: Callable[..., object]
) -> None:
    """Only of a source that may have earned its trust are traces read."""
    answered(camera.site, 2, camera=camera)
    with CaptureQueriesContext(connection) as one:
        selector.source_rows(camera.site)
        learning.end_where_earned(site=camera.site, domain="wound")
    for number in range(4):
        answered(camera.site, 2, camera=make_camera(camera.site, f"c{number}", learning=True))
    with django_assert_num_queries(len(one)):  # type: ignore[attr-defined]
        rows = selector.source_rows(camera.site)
        learning.end_where_earned(site=camera.site, domain="wound")
    assert [row.sentence for row in rows[1:]] == ["2 of at least 30 checked, 2 right."] * 5


def test_what_is_counted_of_a_source_is_what_a_closer_look_counts(camera: DeviceToken) -> None:
    answered(camera.site, 3, camera=camera)
    answered(camera.site, 2, "Cut", camera=camera)
    make_case(camera.site, SURE, camera=camera)  # nobody has answered it
    [counted] = selector._counted([source(camera)], {}).values()
    found = selector.standing(source(camera), None)
    assert (counted.checked, counted.right) == (found.checked, found.right) == (5, 3)
    row = Learning.objects.get(camera=camera)
    Learning.objects.filter(pk=row.pk).update(started_at=timezone.now())
    row.refresh_from_db()
    [counted] = selector._counted([source(camera)], {camera.pk: row}).values()
    assert counted == Standing(), "answers from before do not count"


def test_a_renewed_token_is_the_same_camera(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    old = issue_token(site=cast.clinic, name="door", trusted=True)
    call_command("token", cast.clinic.name, "door", "--renew")
    new = capsys.readouterr().out.strip()
    assert find_token(old) is None
    assert find_token(new) == DeviceToken.objects.get()
    assert not is_learning(source(DeviceToken.objects.get()))
    assert AuditEvent.objects.filter(verb="token renewed").count() == 1


def test_only_a_camera_that_is_known_by_its_name_is_renewed(cast: Cast) -> None:
    with pytest.raises(CommandError, match="has no token 'door'\\. There are: none yet"):
        call_command("token", cast.clinic.name, "door", "--renew")
    for _ in range(2):
        issue_token(site=cast.clinic, name="door")
    with pytest.raises(CommandError, match="2 tokens"):
        call_command("token", cast.clinic.name, "door", "--renew")


def test_a_camera_whose_cases_are_here_cannot_be_deleted(camera: DeviceToken) -> None:
    """Its cases would become those that people sent, and count as theirs."""
    make_case(camera.site, SURE, camera=camera)
    with pytest.raises(ProtectedError):
        camera.delete()


@pytest.mark.parametrize(
    ("found", "missing"),
    [
        (Standing(), 30),
        (Standing(29, 29), 1),
        (Standing(30, 30, 0, 0), 20),
        (Standing(30, 30, 19, 0), 1),
        (Standing(30, 29, 20, 1), 0),
        (Standing(30, 28, 20, 2), 5),
        (Standing(60, 55, 44, 5), 1),
    ],
)
def test_what_is_missing_is_enough_and_no_less_is(found: Standing, missing: int) -> None:
    assert found.missing == missing
    n = max(found.missing, selector.FEWEST_CHECKED - found.checked)
    if found.checked >= selector.FEWEST_CHECKED:
        for more in (n, n - 1):
            later = Standing(
                found.checked + more, found.right + more, found.acceptable + more, found.wrong
            )
            assert later.earned is (more >= missing)


def test_the_bar_says_how_far_and_what_it_takes(
    cast: Cast, camera: DeviceToken, signed: Signed
) -> None:
    answered(camera.site, 12, camera=camera)
    shown = signed("clinician").get(reverse("policies")).content.decode()
    assert '<progress max="30" value="12" aria-label="Learning: door">' in shown
    assert "At least 18 more answers until the policy may accept here." in shown
    answered(camera.site, 18, "Cut", camera=camera)
    people, door = signed("administrator").get("/api/v1/sources").json()
    assert (people["camera"], people["learning"], people["progress"]) == (None, False, None)
    wrong = selector.acceptable_needed(18) - 30
    assert door["progress"] == {
        "checked": 30,
        "missing": wrong,
        "words": f"About {wrong} more right answers, on cases that it would have accepted, "
        "until it may.",
    }
    assert door["sentence"].startswith("30 checked, 12 right. But 18 of the 30")


def test_the_api_tells_of_ones_own_cameras_alone(cast: Cast, signed: Signed) -> None:
    make_camera(cast.elsewhere, "elsewhere", learning=True)
    rows = signed("administrator").get("/api/v1/sources").json()
    assert [row["name"] for row in rows] == ["What people send"]
