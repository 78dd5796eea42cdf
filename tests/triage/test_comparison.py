"""Two versions side by side."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from triage.choices import PolicyStatus
from triage.models import Calibration, Case, Policy
from triage.selectors.comparison import Comparison, comparison, usual_pair, versions_of
from triage.services import policies, queue, reviews

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")


def answer(cast: Cast, case: Case, label: str) -> None:
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label=label, version=case.version
    )


@pytest.fixture
def pair(cast: Cast) -> tuple[Policy, Policy]:
    """A careful version that decided five cases, and a draft that would accept the split ones."""
    careful = make_policy(cast.clinic, threshold=0.2)
    for _ in range(2):
        make_case(cast.clinic, SURE)
    split = [make_case(cast.clinic, SPLIT) for _ in range(3)]
    answer(cast, split[0], "Cut")
    return careful, make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT)


def compared(cast: Cast, left: Policy, right: Policy) -> Comparison:
    return comparison(versions=versions_of(cast.clinic), left=left, right=right)


def test_where_they_part(cast: Cast, pair: tuple[Policy, Policy]) -> None:
    page = compared(cast, *pair)
    assert (page.cases, page.parted_count, page.only_left, page.only_right) == (5, 3, 0, 3)
    assert {(row.left, row.right) for row in page.parted} == {("", "Burn")}
    assert sorted((row.truth, row.secret) for row in page.parted) == [
        ("", True),
        ("", True),
        ("Cut", False),
    ]
    turned = compared(cast, pair[1], pair[0])
    assert (turned.only_left, turned.only_right) == (3, 0)


def test_what_each_has_done(cast: Cast, pair: tuple[Policy, Policy]) -> None:
    page = compared(cast, *pair)
    assert (page.left.live.cases, page.left.live.deferral) == (5, 0.6)
    assert (page.left.live.checked, page.left.live.override_rate) == (1, 1.0)
    assert page.right.live.cases == 0 and page.right.live.deferral is None
    assert page.left.window == "the cases that came with the ensemble"


def test_a_version_parts_from_itself_nowhere(cast: Cast, pair: tuple[Policy, Policy]) -> None:
    assert compared(cast, pair[1], pair[1]).parted_count == 0


def test_defer_everything_accepts_nothing(cast: Cast, pair: tuple[Policy, Policy]) -> None:
    halt = policies.defer_everything(site=cast.clinic, domain="wound", actor=cast.administrator)
    page = compared(cast, halt, pair[1])
    assert (page.only_left, page.only_right, page.why_not) == (0, 5, "")


def test_versions_for_different_ensembles_cannot_be_tried(
    cast: Cast, pair: tuple[Policy, Policy]
) -> None:
    rewrite(Calibration.objects.filter(policy=pair[1]), ensemble="f" * 64)
    fresh = Policy.objects.select_related("calibration").get(pk=pair[1].pk)
    page = compared(cast, pair[0], fresh)
    assert page.why_not and page.cases == page.parted_count == 0


def test_the_usual_pair_is_the_one_in_force_and_the_newest(
    cast: Cast, pair: tuple[Policy, Policy]
) -> None:
    assert usual_pair(versions_of(cast.clinic)) == pair
    assert usual_pair(versions_of(cast.elsewhere)) is None


class TestPage:
    @pytest.fixture
    def client(self, cast: Cast) -> Client:
        client = Client()
        client.force_login(cast.administrator)
        return client

    def test_two_are_chosen(self, client: Client, pair: tuple[Policy, Policy]) -> None:
        page = client.get(reverse("compare-versions"), {"left": "2", "right": "1"})
        said = page.content.decode()
        assert "3 are accepted by policy 2 alone, 0 by policy 1 alone" in said
        assert "accepted: Burn" in said and said.count("accepted: Burn") == 1

    def test_one_that_is_not_there_is_not_found(
        self, cast: Cast, client: Client, pair: tuple[Policy, Policy]
    ) -> None:
        for _ in range(3):
            make_policy(cast.elsewhere, status=PolicyStatus.DRAFT)
        for wrong in ("3", "0", "x", "9" * 40):
            assert client.get(reverse("compare-versions"), {"left": wrong}).status_code == 404
        body = {"left": 1, "right": 3}
        assert client.get(reverse("api-compare-versions"), body).status_code == 404

    def test_with_one_version_there_is_nothing_to_compare(self, cast: Cast, client: Client) -> None:
        make_policy(cast.clinic)
        assert "it takes two versions" in client.get(reverse("compare-versions")).content.decode()

    def test_by_the_api(self, client: Client, pair: tuple[Policy, Policy]) -> None:
        said = client.get(reverse("api-compare-versions"), {"left": 1, "right": 2}).json()
        assert said["only_right"] == 3 and said["left"]["live"]["cases"] == 5
        assert {row["right"] for row in said["parted"]} == {"accepted", "accepted: Burn"}


@pytest.mark.parametrize("route", ["compare-versions", "api-compare-versions"])
def test_a_version_is_found_however_old(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    monkeypatch.setattr("triage.selectors.comparison.CHOICES", 1)
    oldest = make_policy(cast.clinic)
    for _ in range(2):
        make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    client = Client()
    client.force_login(cast.administrator)
    page = client.get(reverse(route), {"left": oldest.version, "right": 2})
    assert page.status_code == 200
    if route == "compare-versions":
        html = page.content.decode()
        assert '<option value="1" selected>' in html and '<option value="2" selected>' in html
    assert client.get(reverse(route), {"left": oldest.version, "right": 9}).status_code == 404


def test_what_is_in_force_can_be_chosen_however_old(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.selectors.comparison.CHOICES", 2)
    active = make_policy(cast.clinic)
    newest = [make_policy(cast.clinic, status=PolicyStatus.DRAFT) for _ in range(3)][-1]
    assert usual_pair(versions_of(cast.clinic)) == (active, newest)
