"""Who follows a wrong machine and overrules a right one: told to themselves first."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.factories import make_case, make_policy, make_user
from tests.triage.conftest import Cast
from tests.triage.test_monitoring import SPLIT, answer, in_force
from triage.models import AuditEvent, Case, Membership
from triage.selectors.reliance import Counted, Reliance, board_of, counted_at, own_reliance
from triage.services import queue, reviews
from triage.services.monitoring import check
from triage.services.reliance import share_reliance

pytestmark = pytest.mark.django_db


@pytest.fixture
def third(cast: Cast) -> User:
    """The machine says Burns; two people read each case, and a third is there."""
    cast.clinic.double_share = 1.0
    cast.clinic.save()
    make_policy(cast.clinic, threshold=0.2)
    return make_user(cast.clinic, name="third")


def read(cast: Cast, *said: tuple[User, str], blind: bool = False) -> Case:
    case = make_case(cast.clinic, SPLIT)
    Case.objects.filter(pk=case.pk).update(blind=blind)
    for person, label in said:
        case = Case.objects.get(pk=case.pk)
        answer(case, label, person)
    return Case.objects.get(pk=case.pk)


def counts(cast: Cast) -> dict[int, Reliance]:
    return {one.person: one.reliance for one in counted_at(cast.clinic)}


def test_two_who_agree_against_the_machine_have_both_withstood_it(cast: Cast, third: User) -> None:
    read(cast, (cast.clinician, "Cut"), (cast.colleague, "Cut"))
    both = Reliance(wrong=1)
    assert counts(cast) == {cast.clinician.pk: both, cast.colleague.pk: both}


def test_a_dispute_shows_who_followed_a_wrong_answer(cast: Cast, third: User) -> None:
    read(cast, (cast.clinician, "Burns"), (cast.colleague, "Cut"), (third, "Cut"))
    assert counts(cast) == {
        cast.clinician.pk: Reliance(wrong=1, followed=1),
        cast.colleague.pk: Reliance(wrong=1),
    }, "the third person's own word measures nobody but the two"


def test_a_dispute_shows_who_overruled_a_right_answer(cast: Cast, third: User) -> None:
    read(cast, (cast.clinician, "Cut"), (cast.colleague, "Burns"), (third, "Burns"))
    assert counts(cast) == {
        cast.clinician.pk: Reliance(right=1, overruled=1),
        cast.colleague.pk: Reliance(right=1),
    }


def test_nobody_is_measured_against_their_own_word(cast: Cast) -> None:
    """With nobody else there, one of the two settles their dispute; that tells of the other."""
    cast.clinic.double_share = 1.0
    cast.clinic.save()
    make_policy(cast.clinic, threshold=0.2)
    read(cast, (cast.clinician, "Burns"), (cast.colleague, "Cut"), (cast.colleague, "Cut"))
    assert counts(cast) == {cast.clinician.pk: Reliance(wrong=1, followed=1)}


def test_a_third_label_that_nobody_else_gave_counts_for_both(cast: Cast, third: User) -> None:
    read(cast, (cast.clinician, "Burns"), (cast.colleague, "Cut"), (third, "Bruises"))
    assert counts(cast) == {
        cast.clinician.pk: Reliance(wrong=1, followed=1),
        cast.colleague.pk: Reliance(wrong=1),
    }


def test_who_has_not_seen_the_machine_cannot_have_followed_it(cast: Cast, third: User) -> None:
    read(cast, (cast.clinician, "Burns"), (cast.colleague, "Burns"), blind=True)
    assert counts(cast) == {}
    in_force(cast.clinic, 1.0)
    audit = make_case(cast.clinic, ("Burns",) * 3)
    Case.objects.filter(pk=audit.pk).update(readings=2)
    for person in (cast.clinician, cast.colleague):
        answer(Case.objects.get(pk=audit.pk), "Cut", person)
    assert not any(one.wrong for one in counts(cast).values()), "an audit is read blind"


@pytest.mark.parametrize(("second", "switched"), [("Burns", 1), ("Cut", 0), ("Bruises", 0)])
def test_a_first_answer_that_is_changed_after_seeing(
    cast: Cast, second: str, switched: int
) -> None:
    make_policy(cast.clinic, threshold=0.2)
    case = read(cast, (cast.clinician, "Cut"), blind=True)
    lease = reviews.undo_review(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label=second, version=case.version
    )
    assert counts(cast) == {cast.clinician.pk: Reliance(differed=1, switched=switched)}


def test_single_readings_and_open_cases_tell_nothing(cast: Cast, third: User) -> None:
    make_case(cast.clinic, SPLIT)
    read(cast, (cast.clinician, "Burns"))
    cast.clinic.double_share = 0.0
    cast.clinic.save()
    case = make_case(cast.clinic, SPLIT)
    answer(case, "Cut", cast.clinician)
    assert counts(cast) == {}


def test_one_sees_ones_own_and_nobody_elses(cast: Cast, third: User, client: Client) -> None:
    read(cast, (cast.clinician, "Burns"), (cast.colleague, "Cut"), (third, "Cut"))
    assert own_reliance(site=cast.clinic, user=cast.clinician).reliance.followed == 1
    assert own_reliance(site=cast.clinic, user=cast.colleague).reliance == Reliance(wrong=1)
    assert own_reliance(site=cast.clinic, user=third).reliance == Reliance()
    client.force_login(cast.clinician)
    html = client.get(reverse("reliance")).content.decode()
    assert "of 1 case in which it was wrong" in html and "Only you." in html
    assert "colleague" not in html


def people(cast: Cast, n: int) -> list[Counted]:
    names = [cast.clinician, cast.colleague, *(make_user(cast.clinic) for _ in range(n - 2))]
    return [Counted(one.pk, Reliance(wrong=10 + at)) for at, one in enumerate(names[:n])]


@pytest.mark.parametrize(("n", "shown"), [(1, False), (2, False), (3, True), (4, True)])
def test_administrators_see_a_sum_of_three_or_more(cast: Cast, n: int, shown: bool) -> None:
    board = board_of(cast.clinic, people(cast, n))
    assert (board.others is not None) is shown
    assert board.people == n and board.shared == []
    if n == 3:
        assert board.others == Reliance(wrong=33)


def test_who_shares_is_no_part_of_the_sum(cast: Cast) -> None:
    """Else three people, of whom one shares, would tell of two, and two sharers of the third."""
    counted = people(cast, 3)
    share_reliance(site=cast.clinic, user=cast.clinician, shared=True)
    board = board_of(cast.clinic, counted)
    assert [(one.name, one.reliance.wrong) for one in board.shared] == [("clinician", 10)]
    assert board.others is None and board.people == 2
    assert board_of(cast.elsewhere, counted).shared == []


def test_only_the_reviewer_shares_and_may_stop(cast: Cast, third: User, client: Client) -> None:
    read(cast, (cast.clinician, "Burns"), (cast.colleague, "Cut"), (third, "Cut"))
    check(site=cast.clinic)
    administrator = Client()
    administrator.force_login(cast.administrator)
    page = administrator.get(reverse("monitoring")).content.decode()
    assert "from 3 people on" in page and '<th scope="row">clinician</th>' not in page
    client.force_login(cast.clinician)
    client.post(reverse("share-reliance"), {"shared": "1"})
    page = administrator.get(reverse("monitoring")).content.decode()
    assert '<th scope="row">clinician</th>' in page, "without another look at the site"
    client.post(reverse("share-reliance"), {"shared": "0"})
    page = administrator.get(reverse("monitoring")).content.decode()
    assert '<th scope="row">clinician</th>' not in page
    client.post(reverse("share-reliance"), {"shared": "0"})
    verbs = AuditEvent.objects.filter(actor=cast.clinician, case=None)
    assert [one.verb for one in verbs] == ["shared reliance", "kept reliance private"]
    assert not Membership.objects.filter(shares_reliance=True).exists()


def test_the_api_holds_the_same_rules(cast: Cast, third: User, client: Client) -> None:
    read(cast, (cast.clinician, "Burns"), (cast.colleague, "Cut"), (third, "Cut"))
    client.force_login(cast.clinician)
    own = client.get("/api/v1/reliance").json()
    assert own["reliance"]["followed"] == 1 and own["shared"] is False
    administrator = Client()
    administrator.force_login(cast.administrator)
    board = administrator.get("/api/v1/monitoring").json()["reliance"]
    assert board == {"shared": [], "others": None, "people": 2, "fewest": 3}
    said = client.post("/api/v1/reliance", {"shared": True}, content_type="application/json")
    assert said.json()["shared"] is True
    board = administrator.get("/api/v1/monitoring").json()["reliance"]
    assert [one["name"] for one in board["shared"]] == ["clinician"]


def test_a_held_case_is_not_told_of(cast: Cast, third: User) -> None:
    case = read(cast, (cast.clinician, "Burns"), (cast.colleague, "Burns"))
    assert counts(cast)
    reviews.undo_review(case=case, user=cast.colleague)
    assert queue.held_lease(site=cast.clinic, user=cast.colleague)
    assert counts(cast) == {}
