"""Each alert rings once and clears once, and who is to be told is told until it arrives."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from inference.uq.thresholds import clopper_pearson_lower
from inference.uq.watch import bounds_at_all_times
from tests.factories import make_case, make_policy, make_user, rewrite
from tests.triage.conftest import Cast
from tests.triage.test_monitoring import SPLIT, SURE, answer, audits, deferred
from triage.choices import AlertKind, News, PolicyMode, PolicyStatus, Role
from triage.management.commands.sweep import sweep
from triage.models import Alert, AuditEvent, Case, Checkup, Delivery, Site
from triage.selectors.alerts import Measured, deferral_off, measure, untold
from triage.selectors.checkup import look
from triage.services.alerts import update_alerts
from triage.services.delivery import BACKOFF_S, deliver, signature
from triage.services.monitoring import check
from triage.services.policies import defer_everything, publish_policy
from triage.tasks import deliver_news

pytestmark = pytest.mark.django_db
KEY = b"0123456789abcdef01234567"
WEBHOOK = "https://alerts.example/in"


def waited(site: Site, hours: float | None) -> list[Alert]:
    """The site is measured once; which of its alerts stand then."""
    update_alerts(site=site, measured=[Measured(AlertKind.WAIT, hours, limit=48, clears=36)])
    return list(Alert.objects.filter(site=site, ended_at=None))


def value_of(site: Site, kind: AlertKind) -> Measured:
    return next(one for one in measure(site, look(site)) if one.kind == kind)


# Hysteresis -------------------------------------------------------------------------------------


VALUES = st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=60)


@given(values=VALUES, limit=st.floats(1, 90), share=st.floats(0.1, 0.95))
def test_between_two_rings_it_was_below_the_lower_limit(
    values: Sequence[float | None], limit: float, share: float
) -> None:
    clears, stood = share * limit, False
    changes: list[tuple[bool, float]] = []
    for value in values:
        stands = Measured(AlertKind.WAIT, value, limit, clears).stands(stood)
        if stands != stood:
            assert value is not None, "what is not known changes nothing"
            changes.append((stands, value))
        stood = stands
    assert [rings for rings, _ in changes] == [at % 2 == 0 for at in range(len(changes))]
    assert all(value > limit if rings else value <= clears for rings, value in changes)


@given(values=st.lists(st.floats(36.001, 1000), min_size=1, max_size=60))
def test_a_flapping_value_does_not_ring_twice(values: Sequence[float]) -> None:
    stood, rings = False, 0
    for value in values:
        stands = Measured(AlertKind.WAIT, value, 48, 36).stands(stood)
        rings += stands and not stood
        stood = stands
    assert rings <= 1


def test_an_alert_is_a_row_that_begins_and_ends_once(cast: Cast) -> None:
    assert waited(cast.clinic, 48) == []
    [alert] = waited(cast.clinic, 49)
    assert (alert.value, alert.limit) == (49, 48)
    assert (
        waited(cast.clinic, 37) == waited(cast.clinic, None) == waited(cast.clinic, 60) == [alert]
    )
    assert waited(cast.clinic, 36) == []
    assert waited(cast.clinic, 47) == []
    [again] = waited(cast.clinic, 50)
    assert again != alert and Alert.objects.count() == 2
    verbs = AuditEvent.objects.filter(site=cast.clinic).values_list("verb", flat=True)
    assert list(verbs) == ["alert raised", "alert cleared", "alert raised"]


def test_two_looks_at_once_cannot_raise_it_twice(cast: Cast) -> None:
    [alert] = waited(cast.clinic, 49)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(site=cast.clinic, kind=alert.kind, value=1, limit=1)
    waited(cast.elsewhere, 49)
    assert Alert.objects.count() == 2


# What is measured -------------------------------------------------------------------------------


def more_audits(cast: Cast, right: int, wrong: int) -> None:
    """Of the version in force, which audits all that it accepts."""
    for at in range(right + wrong):
        answer(make_case(cast.clinic, SURE), "Burns" if at < right else "Cut", cast.clinician)


def test_error_rings_when_even_its_lower_bound_is_above_the_target(cast: Cast) -> None:
    audits(cast, 8, 11)
    assert value_of(cast.clinic, AlertKind.ERROR).value is None, "too few audits to tell"
    more_audits(cast, 0, 1)
    found = value_of(cast.clinic, AlertKind.ERROR)
    low, _high = bounds_at_all_times(12, 20, 0.05)
    assert found.value == pytest.approx(low) and low > 0.1
    assert (found.limit, found.clears) == pytest.approx((0.1, 0.075))
    check(site=cast.clinic)
    assert AlertKind.ERROR in Alert.objects.filter(ended_at=None).values_list("kind", flat=True)


def test_the_bound_holds_at_every_look(cast: Cast) -> None:
    """A 95 % interval of one look would ring here, and cry wolf in time."""
    audits(cast, 15, 5)
    found = value_of(cast.clinic, AlertKind.ERROR)
    assert clopper_pearson_lower(5, 20, 0.05) > 0.1 > (found.value or 1)


def test_a_new_version_is_not_blamed_for_the_one_before(cast: Cast) -> None:
    audits(cast, 8, 12)
    check(site=cast.clinic)
    first = Alert.objects.get(kind=AlertKind.ERROR)
    new = audits(cast, 1, 0)  # by another version
    assert value_of(cast.clinic, AlertKind.ERROR).value is None and new
    check(site=cast.clinic)
    first.refresh_from_db()
    assert first.ended_at is not None and first.with_policy
    assert not Alert.objects.filter(kind=AlertKind.ERROR, ended_at=None).exists()


def test_a_promise_is_the_target_where_there_is_one(cast: Cast) -> None:
    policy = make_policy(cast.clinic, mode=PolicyMode.GUARANTEED)
    rewrite(type(policy).objects.filter(pk=policy.pk), choice={"value": 0.03})
    assert value_of(cast.clinic, AlertKind.ERROR).limit == pytest.approx(0.03)


def test_the_oldest_case_rings_and_its_answer_clears(cast: Cast) -> None:
    make_policy(cast.clinic)
    case = make_case(cast.clinic, SPLIT)
    Case.objects.filter(pk=case.pk).update(created_at=timezone.now() - timedelta(hours=49))
    check(site=cast.clinic)
    alert = Alert.objects.get(site=cast.clinic)
    assert alert.kind == AlertKind.WAIT and alert.ended_at is None
    Case.objects.filter(pk=case.pk).update(created_at=timezone.now())
    check(site=cast.clinic)
    assert Alert.objects.get(site=cast.clinic).ended_at is not None


@pytest.mark.parametrize(
    ("replay", "foreseen"),
    [({}, 0.3), ({"n": 40, "learning": 20, "proposed": {"deferral": 0.75}}, 0.5)],
)
def test_deferral_is_held_against_what_was_foreseen(
    cast: Cast, replay: dict[str, Any], foreseen: float
) -> None:
    policy = make_policy(cast.clinic, threshold=0.2)
    rewrite(type(policy).objects.filter(pk=policy.pk), choice={"value": 0.3}, replay=replay)
    for _ in range(25):
        make_case(cast.clinic, SPLIT)
    for _ in range(24):
        make_case(cast.clinic, SURE)
    policy.refresh_from_db()
    assert deferral_off(policy) is None, "too few decisions"
    make_case(cast.clinic, SURE)
    assert deferral_off(policy) == pytest.approx(abs(0.5 - foreseen))
    policy.mode = PolicyMode.DEFER_ALL
    assert deferral_off(policy) is None
    assert deferral_off(None) is None


def deferral_alert(cast: Cast) -> Alert:
    """The version in force defers all where its replay foresaw that none would be."""
    policy = make_policy(cast.clinic, threshold=0.2)
    rewrite(type(policy).objects.filter(pk=policy.pk), choice={"value": 0.0})
    for _ in range(50):
        make_case(cast.clinic, SPLIT)
    check(site=cast.clinic)
    return Alert.objects.get(kind=AlertKind.DEFERRAL)


def test_following_an_alerts_advice_ends_it(cast: Cast, client: Client) -> None:
    alert = deferral_alert(cast)
    assert alert.ended_at is None
    defer_everything(site=cast.clinic, domain="wound", actor=cast.administrator)
    check(site=cast.clinic)
    alert = Alert.objects.get(pk=alert.pk)
    assert alert.ended_at is not None and alert.with_policy
    event = AuditEvent.objects.get(verb="alert cleared", details__kind="deferral")
    assert event.details == {"kind": "deferral", "with_policy": True}
    client.force_login(cast.administrator)
    html = client.get(reverse("monitoring")).content.decode()
    assert "It ended with policy 1." in html and "1 alert stands" not in html
    said = client.get("/api/v1/alerts").json()["results"]
    assert {row["ended"] for row in said} == {"It ended with policy 1."}


def test_another_version_ends_it_though_nothing_is_known_of_that_yet(cast: Cast) -> None:
    alert = deferral_alert(cast)
    draft = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    rewrite(type(draft).objects.filter(pk=draft.pk), choice={"value": 0.5})
    publish_policy(policy=draft, actor=cast.administrator)
    assert value_of(cast.clinic, AlertKind.DEFERRAL).value is None, "not enough cases"
    check(site=cast.clinic)
    alert.refresh_from_db()
    assert alert.with_policy


WATCHED = ("error", "deferral", "drift", "override", "reader")


def test_what_does_not_apply_is_not_waited_for(cast: Cast) -> None:
    waiting = {str(AlertKind(kind).label) for kind in WATCHED}
    policy = make_policy(cast.clinic)
    rewrite(type(policy).objects.filter(pk=policy.pk), choice={"value": 0.3})
    assert set(untold(cast.clinic, look(cast.clinic))) == waiting
    defer_everything(site=cast.clinic, domain="wound", actor=cast.administrator)
    of_people = [str(one.label) for one in (AlertKind.OVERRIDE, AlertKind.READER)]
    assert untold(cast.clinic, look(cast.clinic)) == of_people


def test_an_alert_from_before_versions_were_kept_ends_where_it_does_not_apply(cast: Cast) -> None:
    alert = Alert.objects.create(site=cast.clinic, kind=AlertKind.DEFERRAL, value=1, limit=0.1)
    policy = make_policy(cast.clinic)
    rewrite(type(policy).objects.filter(pk=policy.pk), choice={"value": 0.3})
    check(site=cast.clinic)
    alert.refresh_from_db()
    assert alert.ended_at is None, "not enough is known to say that it is over"
    defer_everything(site=cast.clinic, domain="wound", actor=cast.administrator)
    check(site=cast.clinic)
    alert = Alert.objects.get(pk=alert.pk)
    assert alert.ended_at is not None and not alert.with_policy


def test_overrides_ring_from_thirty_answers_on(cast: Cast) -> None:
    deferred(cast, 9, 20)
    assert value_of(cast.clinic, AlertKind.OVERRIDE).value is None
    deferred(cast, 1, 0)
    found = value_of(cast.clinic, AlertKind.OVERRIDE)
    assert found.value == pytest.approx(20 / 30) and found.stands(False)


def test_drift_rings_below_one_percent_and_clears_above_five(cast: Cast) -> None:
    make_policy(cast.clinic)
    found = look(cast.clinic)
    for p_value, stood, stands in (
        (0.009, False, True),
        (0.02, False, False),
        (0.02, True, True),
        (0.06, True, False),
        (0.0, False, True),
        (None, True, True),
    ):
        drift = SimpleNamespace(p_value=p_value, sentences=[])
        seen = SimpleNamespace(over_time=found.over_time, as_of=found.as_of, drift=drift)
        by_kind = {one.kind: one for one in measure(cast.clinic, seen)}  # type: ignore[arg-type]
        assert by_kind[AlertKind.DRIFT].stands(stood) is stands, p_value


# Telling ----------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[httpx.Request]]:
    """What the receiver got; it answers with the status codes in `sent.answers`, then 204."""
    got: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        return httpx.Response(STATUS.pop(0) if STATUS else 204)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr("triage.services.delivery.httpx.post", client.post)
    STATUS.clear()
    yield got


STATUS: list[int] = []


@pytest.fixture
def webhook(settings: Settings, sent: list[httpx.Request]) -> list[httpx.Request]:
    settings.ALARM_WEBHOOK_URL, settings.ALARM_WEBHOOK_SECRETS = WEBHOOK, [KEY]
    return sent


def due_now() -> None:
    Delivery.objects.filter(due_at__isnull=False).update(due_at=timezone.now())


def test_nothing_is_sent_unless_it_is_set_up(cast: Cast) -> None:
    cast.administrator.email = "administrator@example.org"
    cast.administrator.save()
    waited(cast.clinic, 49)
    assert not Delivery.objects.exists()


def test_a_webhook_is_signed_as_standard_webhooks_says(
    cast: Cast, webhook: list[httpx.Request]
) -> None:
    [alert] = waited(cast.clinic, 49)
    row = Delivery.objects.get()
    deliver_news(row.pk)
    [request] = webhook
    assert str(request.url) == WEBHOOK
    stamp, body = request.headers["webhook-timestamp"], request.content
    assert abs(int(stamp) - timezone.now().timestamp()) < 60
    assert request.headers["webhook-id"] == str(row.message_id)
    signed = f"{row.message_id}.{stamp}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    said = json.loads(body)
    assert said["type"] == "alert.raised"
    assert said["data"] == {
        "alert": alert.pk, "site": cast.clinic.pk, "kind": "wait", "value": 49, "limit": 48,
    }  # fmt: skip
    assert cast.clinic.name not in body.decode()
    row.refresh_from_db()
    assert row.delivered_at and row.due_at is None and row.attempts == 1


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    found = signature([key, KEY], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)  # type: ignore[arg-type]
    assert found.split(" ")[0] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert len(found.split(" ")) == 2, "two while one is being replaced"


def test_a_message_is_sent_once_however_often_it_is_pointed_at(
    cast: Cast, webhook: list[httpx.Request]
) -> None:
    waited(cast.clinic, 49)
    row = Delivery.objects.get()
    assert deliver(delivery_id=row.pk)
    assert not deliver(delivery_id=row.pk)
    waited(cast.clinic, 50)
    assert len(webhook) == 1 == Delivery.objects.count()
    waited(cast.clinic, 0)
    cleared = Delivery.objects.get(news=News.CLEARED)
    assert deliver(delivery_id=cleared.pk)
    assert json.loads(webhook[-1].content)["type"] == "alert.cleared"
    assert not deliver(delivery_id=999_999)


def test_a_failure_is_tried_again_later_and_then_given_up(
    cast: Cast, webhook: list[httpx.Request]
) -> None:
    STATUS.extend([500] * 20)
    waited(cast.clinic, 49)
    row = Delivery.objects.get()
    for pause in BACKOFF_S:
        assert not deliver(delivery_id=row.pk)
        row.refresh_from_db()
        assert row.due_at is not None and "500" in row.error
        later = (row.due_at - timezone.now()).total_seconds()
        assert pause - 2 < later <= 1.2 * pause
        assert not deliver(delivery_id=row.pk), "not before it is due again"
        due_now()
    assert not deliver(delivery_id=row.pk)
    row.refresh_from_db()
    assert row.due_at is None and row.delivered_at is None
    assert row.attempts == len(webhook) == len(BACKOFF_S) + 1
    assert len({request.headers["webhook-id"] for request in webhook}) == 1


def test_what_failed_once_arrives_by_the_sweep(
    cast: Cast, webhook: list[httpx.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    STATUS.append(503)
    waited(cast.clinic, 49)
    monkeypatch.setattr(
        "triage.services.delivery.dispatch.hint",
        lambda task, pk, queue: deliver(delivery_id=pk) or True,
    )
    for site in Site.objects.all():  # looked at a moment ago: the sweep has nothing new to tell
        Checkup.objects.create(site=site, looked_at=timezone.now())
    assert sweep()["told"] == 1
    assert sweep()["told"] == 0
    due_now()
    assert sweep()["told"] == 1
    assert Delivery.objects.get().delivered_at and len(webhook) == 2


@pytest.mark.parametrize("status", [301, 410])
def test_a_redirect_is_not_followed_and_gone_is_the_end(
    cast: Cast, webhook: list[httpx.Request], status: int
) -> None:
    STATUS.append(status)
    waited(cast.clinic, 49)
    row = Delivery.objects.get()
    assert not deliver(delivery_id=row.pk)
    row.refresh_from_db()
    assert len(webhook) == 1
    assert (row.due_at is None) is (status == 410)


def test_a_receiver_that_cannot_be_reached_is_a_failure(
    cast: Cast, webhook: list[httpx.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_args: object, **_more: object) -> httpx.Response:
        raise httpx.ConnectTimeout("")

    monkeypatch.setattr("triage.services.delivery.httpx.post", unreachable)
    waited(cast.clinic, 49)
    row = Delivery.objects.get()
    assert not deliver(delivery_id=row.pk)
    row.refresh_from_db()
    assert row.error == "ConnectTimeout" and row.due_at


@pytest.fixture
def mails(cast: Cast, settings: Settings) -> Cast:
    """A mail server, and an administrator with an address among those without or elsewhere."""
    settings.EMAIL_HOST = "mail.example.org"
    for user in (cast.administrator, cast.clinician):
        user.email = f"{user.username}@example.org"
        user.save()
    other = make_user(cast.elsewhere, Role.ADMINISTRATOR, "other")
    other.email = "other@example.org"
    other.save()
    make_user(cast.clinic, Role.ADMINISTRATOR, "without")
    return cast


def test_administrators_of_the_site_with_an_address_get_a_mail(mails: Cast) -> None:
    waited(mails.clinic, 49.4)
    deliver(delivery_id=Delivery.objects.get().pk)
    waited(mails.clinic, 0)
    deliver(delivery_id=Delivery.objects.get(news=News.CLEARED).pk)
    raised, cleared = mail.outbox
    assert raised.to == cleared.to == ["administrator@example.org"]
    assert raised.subject == "Clinic: A deferred case has waited too long"
    assert "49 hours" in str(raised.body)
    assert "cleared" in cleared.subject


def test_who_is_no_administrator_any_more_is_not_told(mails: Cast) -> None:
    waited(mails.clinic, 49)
    mails.administrator.memberships.all().delete()
    row = Delivery.objects.get()
    assert not deliver(delivery_id=row.pk)
    row.refresh_from_db()
    assert not mail.outbox and row.due_at is None and row.delivered_at is None


# The page and the API ---------------------------------------------------------------------------


def test_administrators_are_told_on_every_page(cast: Cast, client: Client) -> None:
    waited(cast.elsewhere, 49)
    client.force_login(cast.administrator)
    assert "See what is wrong" not in client.get(reverse("policies")).content.decode()
    assert "No alert stands" in client.get(reverse("monitoring")).content.decode()
    waited(cast.clinic, 49)
    assert "1 alert stands" in client.get(reverse("policies")).content.decode()
    html = client.get(reverse("monitoring")).content.decode()
    assert "A deferred case has waited too long" in html and "1 alert stands" not in html
    waited(cast.clinic, 0)
    html = client.get(reverse("monitoring")).content.decode()
    assert "No alert stands" in html and "1 alert that is over" in html
    client.force_login(cast.clinician)
    waited(cast.clinic, 49)
    assert "See what is wrong" not in client.get(reverse("queue")).content.decode()


def test_the_api_lists_the_sites_alerts(cast: Cast, client: Client) -> None:
    waited(cast.elsewhere, 49)
    for hours in (49, 0, 50):
        waited(cast.clinic, hours)
    client.force_login(cast.administrator)
    said = client.get("/api/v1/alerts").json()["results"]
    assert [row["value"] for row in said] == [50, 49]
    assert said[0]["ended_at"] is None and "50 hours" in said[0]["sentence"]
    standing = client.get("/api/v1/alerts?standing=1").json()["results"]
    assert [row["value"] for row in standing] == [50]


def test_a_checkup_of_the_sweep_raises(cast: Cast) -> None:
    make_policy(cast.clinic)
    case = make_case(cast.clinic, SPLIT)
    Case.objects.filter(pk=case.pk).update(created_at=timezone.now() - timedelta(hours=49))
    sweep()
    sweep()
    assert Alert.objects.filter(site=cast.clinic).count() == 1
    assert Checkup.objects.count() == 3
