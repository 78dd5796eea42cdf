"""Administrators see no picture but with a reason: for a while, written down, and looked at."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import make_case, make_user, rewrite
from tests.pictures import photo
from tests.triage.conftest import Cast
from tests.triage.test_access import ROUTES, url_of
from triage import guards
from triage.choices import GlassReason, Role, SiteKind
from triage.errors import Conflict, Refused
from triage.models import AuditEvent, Case, GlassBreak
from triage.selectors.chains import verify
from triage.selectors.glass import glass_page, open_glass
from triage.services import erasing, intake
from triage.services.glass import break_glass, find_case, review_glass

pytestmark = pytest.mark.django_db
WORDS = "The patient's daughter is on the phone."
ADMINISTRATORS = frozenset({str(Role.ADMINISTRATOR)})
LOOKS = ("case", "case-panel", "photo", "thumbnail", "api-case")


@pytest.fixture
def case(cast: Cast) -> Case:
    """With a picture that can be served."""
    opened = intake.open_case(
        site=cast.clinic, data=photo(), actor=cast.clinician, subject="P-1", source="page"
    )
    return opened.case


@pytest.fixture
def second(cast: Cast) -> User:
    return make_user(cast.clinic, Role.ADMINISTRATOR, "second")


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def status(user: User, route: str, case: Case) -> int:
    return client_of(user).get(url_of(route, case, None)).status_code  # type: ignore[arg-type]


def broken(case: Case, user: User, reason: str = GlassReason.QUESTION) -> GlassBreak:
    return break_glass(case=case, user=user, reason=reason, words=WORDS)


@pytest.mark.parametrize("route", LOOKS)
def test_an_administrator_sees_nothing_but_behind_broken_glass(
    cast: Cast, case: Case, route: str
) -> None:
    assert status(cast.administrator, route, case) == 403
    broken(case, cast.administrator)
    assert status(cast.administrator, route, case) == 200


@pytest.mark.parametrize("route", LOOKS)
def test_it_opens_that_case_alone(cast: Cast, case: Case, route: str) -> None:
    broken(make_case(cast.clinic), cast.administrator)
    assert status(cast.administrator, route, case) == 403


@pytest.mark.parametrize("route", LOOKS)
def test_it_opens_it_for_that_person_alone(
    cast: Cast, case: Case, second: User, route: str
) -> None:
    broken(case, second)
    assert status(cast.administrator, route, case) == 403


@pytest.mark.parametrize("route", LOOKS)
def test_after_half_an_hour_it_is_shut_again(cast: Cast, case: Case, route: str) -> None:
    row = broken(case, cast.administrator)
    assert row.until - row.broken_at == timedelta(minutes=30)
    now = timezone.now()
    rewrite(GlassBreak.objects.all(), broken_at=now - timedelta(minutes=31), until=now)
    assert status(cast.administrator, route, case) == 403


@pytest.mark.parametrize("route", ["claim", "review", "undo", "cases", "export", "queue"])
def test_who_may_look_may_not_answer_search_or_export(cast: Cast, case: Case, route: str) -> None:
    broken(case, cast.administrator)
    client = client_of(cast.administrator)
    answer = getattr(client, ROUTES[route][0])(url_of(route, case, None))  # type: ignore[arg-type]
    assert answer.status_code == 403


def test_at_home_an_administrator_is_not_asked_the_question(cast: Cast) -> None:
    boss = make_user(cast.household, Role.ADMINISTRATOR)
    case = make_case(cast.household, ("pet", "person", "pet"))
    broken(case, boss)
    page = client_of(boss).get(reverse("case", args=[case.pk])).content.decode()
    assert reverse("answer", args=[case.pk]) not in page


def test_the_way_in_is_on_the_page_that_shuts(cast: Cast, case: Case) -> None:
    client = client_of(cast.administrator)
    page = client.get(reverse("case", args=[case.pk])).content.decode()
    assert f'value="{case.pk}"' in page and reverse("break-glass") in page
    sent = {"case": str(case.pk), "reason": "emergency", "words": WORDS}
    answer = client.post(reverse("break-glass"), sent)
    assert answer["Location"] == reverse("case", args=[case.pk])
    assert client.get(answer["Location"]).status_code == 200


def test_other_refusals_show_no_way_in(cast: Cast, case: Case) -> None:
    for user in (cast.auditor, cast.administrator):
        route = "case" if user == cast.auditor else "queue"
        page = client_of(user).get(url_of(route, case, None))  # type: ignore[arg-type]
        assert page.status_code == 403
        assert reverse("break-glass") not in page.content.decode()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", WORDS),
        ("curious", WORDS),
        ("fault", ""),
        ("fault", "because"),
        ("fault", " " * 40),
        ("fault", "x" * 501),
    ],
)
def test_without_a_reason_it_stays_shut(cast: Cast, case: Case, reason: str, words: str) -> None:
    with pytest.raises(Refused):
        break_glass(case=case, user=cast.administrator, reason=reason, words=words)
    assert not GlassBreak.objects.exists()
    assert not AuditEvent.objects.filter(verb="broke the glass").exists()


def test_it_stands_in_the_chain_of_the_case_without_the_words(cast: Cast, case: Case) -> None:
    broken(case, cast.administrator)
    client_of(cast.administrator).get(reverse("photo", args=[case.pk]))
    events = list(case.events.order_by("position"))
    assert [(one.verb, one.actor) for one in events[-2:]] == [
        ("broke the glass", cast.administrator),
        ("photo seen", cast.administrator),
    ]
    assert events[-2].details == {"reason": "question"}
    assert verify(site=cast.clinic).intact


def test_clinicians_and_auditors_read_of_it(cast: Cast, case: Case) -> None:
    broken(case, cast.administrator)
    page = client_of(cast.clinician).get(reverse("case", args=[case.pk])).content.decode()
    assert "broke the glass" in page and "The person concerned asks about it" in page
    for address in (reverse("audit"), reverse("audit-case", args=[case.pk])):
        assert "broke the glass" in client_of(cast.auditor).get(address).content.decode()
    shown = client_of(cast.auditor).get(reverse("glass")).content.decode()
    assert case.number in shown and reverse("review-glass", args=[1]) not in shown
    assert WORDS not in shown and "daughter" not in shown, "it may say whom the picture shows"
    [told] = client_of(cast.auditor).get(reverse("api-glass")).json()["waiting"]
    assert (told["reason"], told["words"]) == ("question", "")


def test_another_administrator_looks_at_it(cast: Cast, case: Case, second: User) -> None:
    row = broken(case, cast.administrator)
    audit = client_of(second).get(reverse("audit")).content.decode()
    assert "1 to be looked at" in audit
    own = client_of(cast.administrator).get(reverse("glass")).content.decode()
    assert reverse("review-glass", args=[row.pk]) not in own
    client_of(second).post(reverse("review-glass", args=[row.pk]), {"justified": "no"})
    row.refresh_from_db()
    assert (row.justified, row.reviewed_by) == (False, second)
    assert glass_page(site=cast.clinic, viewer=second, roles=ADMINISTRATORS).waiting == []
    last = case.events.order_by("position").last()
    assert last is not None and last.verb == "found broken glass not justified"


def test_nobody_looks_at_their_own(cast: Cast, case: Case) -> None:
    row = broken(case, cast.administrator)
    with pytest.raises(Refused, match="another administrator"):
        review_glass(broken=row, actor=cast.administrator, justified=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        GlassBreak.objects.filter(pk=row.pk).update(
            justified=True, reviewed_at=timezone.now(), reviewed_by=cast.administrator
        )


def test_it_is_looked_at_once(cast: Cast, case: Case, second: User) -> None:
    row = broken(case, cast.administrator)
    review_glass(broken=row, actor=second, justified=True)
    with pytest.raises(Conflict, match="already"):
        review_glass(broken=row, actor=second, justified=False)
    row.refresh_from_db()
    assert row.justified is True


def test_asked_twice_it_is_broken_once(cast: Cast, case: Case) -> None:
    assert broken(case, cast.administrator) == broken(case, cast.administrator)
    assert case.events.filter(verb="broke the glass").count() == 1


def test_the_row_is_not_rewritten(cast: Cast, case: Case) -> None:
    row = broken(case, cast.administrator)
    for values in ({"until": timezone.now() + timedelta(days=9)}, {"words": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            GlassBreak.objects.filter(pk=row.pk).update(**values)
    assert not guards.missing_triggers()


def test_erasing_the_case_erases_the_words(cast: Cast) -> None:
    case = make_case(cast.clinic)
    Case.objects.filter(pk=case.pk).update(status="accepted", label="Burns", waiting_due_at=None)
    case.refresh_from_db()
    broken(case, cast.administrator)
    erasing.erase_case(case=case, actor=cast.administrator, reason="asked for")
    assert GlassBreak.objects.get().words == ""
    with pytest.raises(Conflict, match="erased"):
        broken(case, make_user(cast.clinic, Role.ADMINISTRATOR))


def test_a_case_is_named_by_its_number_or_its_id(cast: Cast, case: Case) -> None:
    assert find_case(cast.clinic, case.number) == case
    assert find_case(cast.clinic, str(case.pk)) == case
    for name in ("", "0000", "zzzzzzzz", case.number + "0000", "%", str(case.pk)[:-1] + "g"):
        with pytest.raises(Refused, match="no case"):
            find_case(cast.clinic, name)
    with pytest.raises(Refused, match="no case"):
        find_case(cast.elsewhere, case.number)


def test_another_sites_administrator_finds_nothing(cast: Cast, case: Case) -> None:
    boss = make_user(cast.elsewhere, Role.ADMINISTRATOR)
    row = broken(case, cast.administrator)
    assert status(boss, "case", case) == 404
    assert open_glass(case, boss) is None
    address = reverse("review-glass", args=[row.pk])
    assert client_of(boss).post(address, {"justified": "yes"}).status_code == 404
    page = client_of(boss).get(reverse("glass")).content.decode()
    assert case.number not in page


def test_the_api_can_do_all_of_it(cast: Cast, case: Case, second: User) -> None:
    client, address = client_of(cast.administrator), reverse("api-glass")
    said = {"case": case.number, "reason": "fault", "words": WORDS}
    assert client.get(reverse("api-case", args=[case.pk])).json()["code"] == "behind_glass"
    short = client.post(address, said | {"words": "short"}, content_type="application/json")
    assert short.status_code == 400
    answer = client.post(address, said, content_type="application/json")
    assert answer.status_code == 201
    assert client.get(reverse("api-case", args=[case.pk])).status_code == 200
    [waiting] = client_of(second).get(address).json()["waiting"]
    assert (waiting["person"], waiting["words"]) == ("administrator", WORDS)
    review = reverse("api-review-glass", args=[waiting["id"]])
    own = client.post(review, {"justified": True}, content_type="application/json")
    assert own.status_code == 422
    found = client_of(second).post(review, {"justified": True}, content_type="application/json")
    assert found.json()["reviewed_by"] == "second"
    assert client.get(address).json()["waiting"] == []


def test_a_role_that_is_lost_shuts_it_at_once(cast: Cast, case: Case) -> None:
    broken(case, cast.administrator)
    cast.administrator.memberships.update(role=Role.AUDITOR)
    assert status(cast.administrator, "photo", case) == 403
    assert cast.clinic.kind == SiteKind.CLINIC
