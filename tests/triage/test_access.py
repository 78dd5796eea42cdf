"""Who may what, for every route: one that is not listed here fails."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django import DjangoDbBlocker

from tests.factories import make_camera, make_case, make_policy, make_user, make_version
from tests.triage.conftest import Cast, make_cast
from triage.choices import PolicyStatus
from triage.models import Case, Policy

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

CLINICIAN, CAREGIVER, ADMINISTRATOR = "clinician", "caregiver", "administrator"
AUDITOR = "auditor"
REVIEWERS = {CLINICIAN, CAREGIVER}
EVERYBODY = {CLINICIAN, CAREGIVER, ADMINISTRATOR, AUDITOR}
NOBODY: set[str] = set()
# route -> (method, who may)
ROUTES: dict[str, tuple[str, set[str]]] = {
    "start": ("get", EVERYBODY),
    "sign-out": ("post", EVERYBODY),
    "switch-site": ("post", EVERYBODY),
    "queue": ("get", REVIEWERS),
    "claim-next": ("post", REVIEWERS),
    "household": ("get", REVIEWERS),
    "asking": ("get", {CAREGIVER}),
    "quiet-hours": ("post", {CAREGIVER}),
    "snooze": ("post", {CAREGIVER}),
    "subscribe": ("post", {CAREGIVER}),
    "privacy": ("get", {CAREGIVER, ADMINISTRATOR}),
    "consent": ("post", {CAREGIVER, ADMINISTRATOR}),
    "answer": ("post", {CAREGIVER}),
    "not-sure": ("post", {CAREGIVER}),
    "glass": ("get", {ADMINISTRATOR, AUDITOR}),
    "break-glass": ("post", {ADMINISTRATOR}),
    "review-glass": ("post", {ADMINISTRATOR}),
    "api-glass": ("get", {ADMINISTRATOR, AUDITOR}),
    "api-review-glass": ("post", {ADMINISTRATOR}),
    "api-consents": ("get", {CAREGIVER, ADMINISTRATOR}),
    "cases": ("get", REVIEWERS),
    "case": ("get", REVIEWERS),
    "case-panel": ("get", REVIEWERS),
    "previous-case": ("get", REVIEWERS),
    "next-case": ("get", REVIEWERS),
    "photo": ("get", REVIEWERS),
    "thumbnail": ("get", REVIEWERS),
    "clip": ("get", REVIEWERS),
    "frame": ("get", REVIEWERS),
    "frame-thumbnail": ("get", REVIEWERS),
    "claim": ("post", REVIEWERS),
    "release": ("post", REVIEWERS),
    "extend": ("post", REVIEWERS),
    "pass": ("post", REVIEWERS),
    "skip": ("post", REVIEWERS),
    "retake": ("post", REVIEWERS),
    "draft": ("post", REVIEWERS),
    "review": ("post", REVIEWERS),
    "undo": ("post", REVIEWERS),
    "export": ("get", {CLINICIAN}),
    "upload": ("get", REVIEWERS),
    "policies": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "policy": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "publish": ("post", {ADMINISTRATOR}),
    "drop": ("post", {ADMINISTRATOR}),
    "roll-back": ("post", {ADMINISTRATOR}),
    "what-if": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "shadow": ("post", {ADMINISTRATOR}),
    "end-shadow": ("post", {ADMINISTRATOR}),
    "widen-canary": ("post", {ADMINISTRATOR}),
    "end-canary": ("post", {ADMINISTRATOR}),
    "propose-at": ("post", {ADMINISTRATOR}),
    "refit": ("post", {ADMINISTRATOR}),
    "propose": ("post", {ADMINISTRATOR}),
    "costs": ("get", {ADMINISTRATOR}),
    "compare-versions": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "readings": ("post", {ADMINISTRATOR}),
    "leases": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "end-lease": ("post", {ADMINISTRATOR}),
    "time-zone": ("post", {CAREGIVER, ADMINISTRATOR}),
    "defer-all": ("post", {ADMINISTRATOR}),
    "end-learning": ("post", {ADMINISTRATOR}),
    "start-learning": ("post", {ADMINISTRATOR}),
    "ensemble": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "audit": ("get", {AUDITOR, ADMINISTRATOR}),
    "audit-verify": ("post", {AUDITOR, ADMINISTRATOR}),
    "audit-export": ("get", {AUDITOR, ADMINISTRATOR}),
    "audit-case": ("get", {AUDITOR}),
    "api-audit": ("get", {AUDITOR, ADMINISTRATOR}),
    "api-audit-verify": ("post", {AUDITOR, ADMINISTRATOR}),
    "api-audit-export": ("get", {AUDITOR, ADMINISTRATOR}),
    "api-audit-case": ("get", {AUDITOR}),
    "cameras": ("get", {ADMINISTRATOR}),
    "camera-issue": ("post", {ADMINISTRATOR}),
    "camera-renew": ("post", {ADMINISTRATOR}),
    "camera-revoke": ("post", {ADMINISTRATOR}),
    "api-cameras": ("get", {ADMINISTRATOR}),
    "api-camera-renew": ("post", {ADMINISTRATOR}),
    "api-camera-revoke": ("post", {ADMINISTRATOR}),
    "retention": ("get", {ADMINISTRATOR}),
    "retention-set": ("post", {ADMINISTRATOR}),
    "erase": ("post", {ADMINISTRATOR}),
    "hold": ("post", {ADMINISTRATOR}),
    "lift": ("post", {ADMINISTRATOR}),
    "api-retention": ("get", {ADMINISTRATOR}),
    "api-erase": ("post", {ADMINISTRATOR}),
    "api-holds": ("post", {ADMINISTRATOR}),
    "api-lift": ("post", {ADMINISTRATOR}),
    "people": ("get", {ADMINISTRATOR}),
    "care-teams": ("get", {ADMINISTRATOR}),
    "set-care-teams": ("post", {ADMINISTRATOR}),
    "gold": ("get", {ADMINISTRATOR}),
    "mark-gold": ("post", {ADMINISTRATOR}),
    "api-gold": ("get", {ADMINISTRATOR}),
    "add-to-team": ("post", {ADMINISTRATOR}),
    "remove-from-team": ("post", {ADMINISTRATOR}),
    "api-care-teams": ("get", {ADMINISTRATOR}),
    "api-remove-from-team": ("post", {ADMINISTRATOR}),
    "reset-factor": ("post", {ADMINISTRATOR}),
    "unlock": ("post", {ADMINISTRATOR}),
    "disable": ("post", {ADMINISTRATOR}),
    "api-people": ("get", {ADMINISTRATOR}),
    "api-reset-factor": ("post", {ADMINISTRATOR}),
    "api-unlock": ("post", {ADMINISTRATOR}),
    "api-disable": ("post", {ADMINISTRATOR}),
    "api-session": ("get", EVERYBODY),
    "sign-in-again-provider": ("get", EVERYBODY),
    "account_reauthenticate": ("get", EVERYBODY),
    "mfa_reauthenticate": ("get", EVERYBODY),
    "mfa_reauthenticate_webauthn": ("get", EVERYBODY),
    "mfa_index": ("get", EVERYBODY),
    "mfa_activate_totp": ("get", EVERYBODY),
    "mfa_deactivate_totp": ("post", EVERYBODY),
    "mfa_view_recovery_codes": ("get", EVERYBODY),
    "mfa_generate_recovery_codes": ("get", EVERYBODY),
    "mfa_add_webauthn": ("get", EVERYBODY),
    "mfa_remove_webauthn": ("post", EVERYBODY),
    "reliance": ("get", {CLINICIAN}),
    "share-reliance": ("post", {CLINICIAN}),
    "api-reliance": ("get", {CLINICIAN}),
    "monitoring": ("get", {ADMINISTRATOR}),
    "accounts": ("get", {ADMINISTRATOR}),
    "check": ("post", {ADMINISTRATOR}),
    "api-alerts": ("get", {ADMINISTRATOR}),
    "api-monitoring": ("get", {ADMINISTRATOR}),
    "domains": ("get", {CLINICIAN, ADMINISTRATOR}),
    "domain": ("get", {CLINICIAN, ADMINISTRATOR}),
    "domain-version": ("get", {CLINICIAN, ADMINISTRATOR}),
    "new-domain": ("get", {ADMINISTRATOR}),
    "edit-domain": ("get", {ADMINISTRATOR}),
    "publish-domain": ("post", {ADMINISTRATOR}),
    "trial": ("post", {ADMINISTRATOR}),
    "new-site": ("get", {ADMINISTRATOR}),
    "at-work": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    **dict.fromkeys(
        (
            "add-member",
            "try-member",
            "take-in-member",
            "retire-member",
            "api-try-member",
            "api-take-in-member",
            "api-retire-member",
        ),
        ("post", NOBODY),  # a role alone is not enough: tests/triage/test_members.py
    ),
    "api-members": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "check-member": ("post", {ADMINISTRATOR}),
    "api-ensemble": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "api-check-member": ("post", {ADMINISTRATOR}),
    "api-observations": ("post", REVIEWERS),
    "api-receipt": ("get", REVIEWERS),
    "api-cases": ("get", REVIEWERS),
    "api-claim-next": ("post", REVIEWERS),
    "api-case": ("get", REVIEWERS),
    "api-reviews": ("post", REVIEWERS),
    "api-undo": ("post", REVIEWERS),
    "api-export": ("get", {CLINICIAN}),
    "api-leases": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "api-end-lease": ("post", {ADMINISTRATOR}),
    "api-policies": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "api-what-if": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "api-propose": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "api-costs": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "api-compare-versions": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "api-policy": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    "api-publish": ("post", {ADMINISTRATOR}),
    "api-shadow": ("post", {ADMINISTRATOR}),
    "api-end-shadow": ("post", {ADMINISTRATOR}),
    "api-widen-canary": ("post", {ADMINISTRATOR}),
    "api-end-canary": ("post", {ADMINISTRATOR}),
    "api-roll-back": ("post", {ADMINISTRATOR}),
    "api-domains": ("get", {CLINICIAN, ADMINISTRATOR}),
    "api-versions": ("get", {CLINICIAN, ADMINISTRATOR}),
    "api-version": ("get", {CLINICIAN, ADMINISTRATOR}),
    "api-publish-version": ("post", {ADMINISTRATOR}),
    "api-trials": ("get", {CLINICIAN, ADMINISTRATOR}),
    "api-sites": ("post", {ADMINISTRATOR}),
    "api-at-work": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
    **dict.fromkeys(
        (
            "api-defer-all",
            "api-refit",
            "api-propose-at",
            "api-readings",
            "api-drop",
            "api-start-learning",
            "api-end-learning",
            "api-check",
        ),
        ("post", {ADMINISTRATOR}),
    ),
    "api-time-zone": ("post", {CAREGIVER, ADMINISTRATOR}),
    **dict.fromkeys(
        ("api-claim", "api-release", "api-extend", "api-pass", "api-skip", "api-retake"),
        ("post", REVIEWERS),
    ),
    **dict.fromkeys(
        ("api-answer", "api-not-sure", "api-quiet-hours", "api-snooze"), ("post", {CAREGIVER})
    ),
    "api-sources": ("get", {CLINICIAN, ADMINISTRATOR, AUDITOR}),
}
OPEN_TO_ALL = {"sign-in", "api-schema", "manifest", "worker", "set-language"}
# Steps of signing in; there is a provider only where one is configured: tests/site/test_oidc.py.
OPEN_TO_ALL |= {"account_login", "mfa_authenticate"}
OPEN_TO_ALL |= {"openid_connect_login", "openid_connect_callback"}
# For whoever watches the machine; who may scrape: tests/site/test_metrics.py.
OPEN_TO_ALL |= {"healthz", "readyz", "metrics"}
# About one's own account, wherever one belongs.
OWN_ACCOUNT = {"sign-out", "switch-site", "account_reauthenticate", "sign-in-again-provider"}
OWN_ACCOUNT |= {route for route in ROUTES if route.startswith("mfa_")}
ABOUT_A_CASE = {
    "case",
    "case-panel",
    "previous-case",
    "next-case",
    "photo",
    "thumbnail",
    "clip",
    "frame",
    "frame-thumbnail",
    "claim",
    "release",
    "extend",
    "pass",
    "answer",
    "not-sure",
    "skip",
    "retake",
    "draft",
} | {
    "review",
    "undo",
    "api-receipt",
    "api-case",
    "api-reviews",
    "api-undo",
    "audit-case",
    "api-audit-case",
}
ABOUT_A_CASE |= {
    f"api-{act}"
    for act in ("claim", "release", "extend", "pass", "skip", "retake", "answer", "not-sure")
}
ABOUT_A_MEMBER = {
    f"{kind}{act}-member" for kind in ("", "api-") for act in ("try", "take-in", "retire")
}
ABOUT_A_FRAME = {"frame", "frame-thumbnail"}
ABOUT_A_POLICY = {"policy", "publish", "drop", "roll-back", "api-policy", "api-publish"} | {
    f"{where}{act}"
    for where in ("", "api-")
    for act in ("shadow", "end-shadow", "widen-canary", "end-canary")
}
ABOUT_A_POLICY |= {"api-roll-back", "api-drop"}


ABOUT_A_NUMBER = {
    "review-glass",
    "api-review-glass",
    "end-lease",
    "api-end-lease",
    "remove-from-team",
    "api-remove-from-team",
    "lift",
    "api-lift",
    "camera-renew",
    "camera-revoke",
    "api-camera-renew",
    "api-camera-revoke",
    "mfa_remove_webauthn",
    "reset-factor",
    "unlock",
    "disable",
    "api-reset-factor",
    "api-unlock",
    "api-disable",
}  # of something that is not made here: not found
ABOUT_A_DOMAIN = {"domain", "edit-domain", "api-versions"}
ABOUT_A_VERSION = {"domain-version", "publish-domain", "trial"}
ABOUT_A_VERSION |= {"api-version", "api-publish-version", "api-trials"}


def named_routes(resolver: URLResolver | None = None) -> Iterator[str]:
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from named_routes(entry)
        elif isinstance(entry, URLPattern) and entry.name:
            yield entry.name


@dataclass(frozen=True)
class World:
    cast: Cast
    case: Case
    policy: Policy


@pytest.fixture(scope="module")
def world(module_rows: None, django_db_blocker: DjangoDbBlocker) -> World:
    """What all of these tests begin from: made once, since there are more than a thousand."""
    with django_db_blocker.unblock():
        cast = make_cast()
        policy = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
        return World(cast, make_case(cast.clinic, ("Burns", "Cut", "Cut")), policy)


@pytest.fixture
def cast(world: World, db: None) -> Cast:
    return copy.deepcopy(world.cast)


@pytest.fixture
def own(world: World, db: None) -> tuple[Case, Policy]:
    return copy.deepcopy((world.case, world.policy))


def url_of(route: str, case: Case, policy: Policy) -> str:
    if route == "api-receipt":
        return reverse(route, args=[case.observation_id])
    if route in ABOUT_A_FRAME:
        return reverse(route, args=[case.pk, 0])
    if route in ABOUT_A_CASE:
        return reverse(route, args=[case.pk])
    if route in ABOUT_A_NUMBER:
        return reverse(route, args=[1])
    if route in ABOUT_A_DOMAIN:
        return reverse(route, args=["wound"])
    if route in ABOUT_A_VERSION:
        return reverse(route, args=["wound", make_version(case.site).version])
    if route in ABOUT_A_MEMBER:
        return reverse(route, args=[1])
    return reverse(route, args=[policy.pk] if route in ABOUT_A_POLICY else [])


def status_for(user: object, route: str, case: Case, policy: Policy) -> int:
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)  # type: ignore[arg-type]
    method, _who = ROUTES[route]
    return getattr(client, method)(url_of(route, case, policy)).status_code  # type: ignore[no-any-return]


def test_every_route_is_listed() -> None:
    assert set(named_routes()) == set(ROUTES) | OPEN_TO_ALL


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("role", sorted(EVERYBODY))
def test_a_role_gets_what_is_its_and_nothing_else(
    cast: Cast, own: tuple[Case, Policy], route: str, role: str
) -> None:
    user = getattr(cast, role)
    case, policy = own
    status = status_for(user, route, case, policy)
    allowed = role in ROUTES[route][1]
    if not allowed:
        assert status == 403
    elif role == CAREGIVER and route in ABOUT_A_CASE:
        assert status == 404, "a caregiver of another site does not learn that the case exists"
    else:
        assert status != 403
        assert status < 500


@pytest.mark.parametrize("route", ["api-cases", "api-policies"])
@pytest.mark.parametrize("role", ["stranger", "caregiver"])
def test_asking_for_the_head_alone_is_no_way_in(cast: Cast, route: str, role: str) -> None:
    client = Client()
    client.force_login(getattr(cast, role))
    assert client.head(reverse(route)).status_code == client.get(reverse(route)).status_code


@pytest.mark.parametrize("route", sorted(ABOUT_A_CASE))
def test_another_sites_case_is_not_found(cast: Cast, own: tuple[Case, Policy], route: str) -> None:
    expected = 404 if CLINICIAN in ROUTES[route][1] else 403
    assert status_for(cast.outsider, route, *own) == expected


@pytest.mark.parametrize("route", sorted(ABOUT_A_VERSION))
def test_another_organisations_version_is_not_found(
    cast: Cast, own: tuple[Case, Policy], route: str
) -> None:
    boss = make_user(cast.elsewhere, ADMINISTRATOR)
    assert status_for(boss, route, *own) == 404


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_nobody_gets_in_without_signing_in(own: tuple[Case, Policy], route: str) -> None:
    status = status_for(None, route, *own)
    if route.startswith("api-"):
        assert status == 401
    elif route == "sign-out":
        assert status == 302
    else:
        assert status == 302, "to the sign-in page"


@pytest.mark.parametrize("route", sorted(set(ROUTES) - OWN_ACCOUNT))
def test_somebody_who_belongs_nowhere_gets_nothing(
    cast: Cast, own: tuple[Case, Policy], route: str
) -> None:
    assert status_for(cast.stranger, route, *own) == 403


def test_a_role_that_is_taken_away_counts_at_once(cast: Cast, own: tuple[Case, Policy]) -> None:
    client = Client()
    client.force_login(cast.clinician)
    assert client.get(reverse("queue")).status_code == 200
    cast.clinician.memberships.all().delete()
    assert client.get(reverse("queue")).status_code == 302, "the session has ended"
    client.force_login(cast.clinician)
    assert client.get(reverse("queue")).status_code == 403


def test_another_sites_policy_is_not_found(cast: Cast) -> None:
    policy = make_policy(cast.elsewhere, status=PolicyStatus.DRAFT)
    case = make_case(cast.clinic)
    for route in sorted(ABOUT_A_POLICY):
        assert status_for(cast.administrator, route, case, policy) == 404


@pytest.mark.parametrize("route", ["end-learning", "start-learning"])
def test_another_sites_camera_is_not_found(cast: Cast, route: str) -> None:
    client = Client()
    client.force_login(cast.administrator)
    for camera in (str(make_camera(cast.elsewhere).pk), "999999", "9" * 5000, "-1", "camera"):
        assert client.post(reverse(route), {"camera": camera}).status_code == 404


def test_switching_to_a_site_that_is_not_ones_own_is_not_found(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.clinician)
    assert client.post(reverse("switch-site"), {"site": cast.elsewhere.pk}).status_code == 404
