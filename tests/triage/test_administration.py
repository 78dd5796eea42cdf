"""What the policies page tells of audits, drift and people, each from rows in the database."""

import pytest
from django.test import Client

from inference.uq.audit import audits_needed
from tests.factories import make_case, make_policy, make_user
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, Outcome, PolicyStatus, Role
from triage.models import Case, Decision, Site
from triage.selectors import drift
from triage.selectors.drift import drift_sentences
from triage.selectors.evidence import gather
from triage.selectors.experts import expert_rows
from triage.selectors.neighbours import audit_errors
from triage.selectors.policies import policies_page
from triage.selectors.policy_state import active_policy
from triage.services import queue, reviews

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


def answer(case: Case, label: str, by: object) -> None:
    lease = queue.claim(case=case, user=by)  # type: ignore[arg-type]
    case.refresh_from_db()
    reviews.submit_review(
        case=case,
        token=lease.token,
        user=by,  # type: ignore[arg-type]
        label=label,
        version=case.version,
    )


def in_force(site: Site, audit_share: float = 0.000001, threshold: float = 10.0) -> None:
    """From here on a new policy accepts everything whole."""
    site.policies.update(status=PolicyStatus.RETIRED)
    make_policy(site, threshold=threshold, audit_share=audit_share)


def accepted(site: Site, described: str, *, audited: bool = False) -> Case:
    """An accepted case, drawn for audit or not."""
    in_force(site, audit_share=1.0 if audited else 0.000001)
    case = make_case(site, described=described)
    assert case.status == (CaseStatus.AUDIT if audited else CaseStatus.ACCEPTED)
    return case


def test_an_audit_error_stands_beside_those_that_resemble_it(cast: Cast) -> None:
    far = accepted(cast.clinic, "a foot")
    near = [accepted(cast.clinic, "a hand") for _ in range(2)]
    elsewhere = accepted(cast.elsewhere, "a hand")
    wrong, right = (accepted(cast.clinic, "a hand", audited=True) for _ in range(2))
    assert audit_errors(cast.clinic) == []
    answer(wrong, "Cut", cast.clinician)
    answer(right, "Burns", cast.clinician)
    [error] = audit_errors(cast.clinic)
    assert error.case == wrong
    assert (error.said, error.truth) == ("Burn", "Cut")
    assert set(error.neighbours[:2]) == set(near)
    assert error.neighbours[2:] == [far]
    assert elsewhere not in error.neighbours
    assert audit_errors(cast.elsewhere) == []


def test_the_page_says_how_many_more_audits_would_help(cast: Cast) -> None:
    answer(accepted(cast.clinic, "a hand", audited=True), "Cut", cast.clinician)
    audit = policies_page(site=cast.clinic, user=cast.administrator).audit
    assert audit.audited == 1
    assert audit.more_needed == audits_needed(1.0, 0.05) - 1 > 10


def test_an_accepted_case_that_somebody_opened_is_no_audit_error(cast: Cast) -> None:
    answer(accepted(cast.clinic, "a hand"), "Cut", cast.clinician)
    assert audit_errors(cast.clinic) == []


def test_a_neighbour_that_was_looked_at_is_left_out(cast: Cast) -> None:
    seen, wrong = accepted(cast.clinic, "a hand"), accepted(cast.clinic, "a hand", audited=True)
    answer(wrong, "Cut", cast.clinician)
    assert audit_errors(cast.clinic)[0].neighbours == [seen]
    answer(seen, "Burns", cast.clinician)
    assert audit_errors(cast.clinic)[0].neighbours == []


def test_the_page_links_the_neighbours_and_names_people(cast: Cast) -> None:
    near, wrong = accepted(cast.clinic, "a hand"), accepted(cast.clinic, "a hand", audited=True)
    answer(wrong, "Cut", cast.clinician)
    pages = {}
    for person in (cast.administrator, cast.clinician):
        client = Client()
        client.force_login(person)
        pages[person] = client.get("/policies/").content.decode()
        assert "accepted as Burn, is Cut" in pages[person]
        assert near.number in pages[person]
        assert '<th scope="row">clinician</th>' in pages[person]
    # An administrator may not open cases: a link would lead nowhere.
    assert f"/cases/{near.pk}/" in pages[cast.clinician]
    assert f"/cases/{near.pk}/" not in pages[cast.administrator]


def test_whoever_found_the_error_is_shown_what_resembles_it(cast: Cast) -> None:
    near = accepted(cast.clinic, "a hand")
    wrong, right = (accepted(cast.clinic, "a hand", audited=True) for _ in range(2))
    client = Client()
    client.force_login(cast.clinician)
    link = f"/cases/{near.pk}/"
    assert link not in client.get(f"/cases/{wrong.pk}/").content.decode()
    answer(wrong, "Cut", cast.clinician)
    answer(right, "Burns", cast.clinician)
    assert link in client.get(f"/cases/{wrong.pk}/").content.decode()
    assert link not in client.get(f"/cases/{right.pk}/").content.decode()


def test_whoever_answers_most_counts_less_where_three_do(cast: Cast) -> None:
    third = make_user(cast.clinic, Role.CLINICIAN, "third")
    people = [cast.clinician] * 6 + [cast.colleague]
    for person in people:
        answer(make_case(cast.clinic, SPLIT), "Burns", person)
    assert [row.weight for row in expert_rows(cast.clinic)] == [1, 1]
    answer(make_case(cast.clinic, SPLIT), "Burns", third)
    rows = {row.name: row for row in expert_rows(cast.clinic)}
    assert rows["clinician"].answers == 6
    assert rows["clinician"].share == pytest.approx(6 / 8)
    assert rows["clinician"].weight == pytest.approx(2 / 6)
    assert rows["third"].weight == rows["colleague"].weight == 1
    assert all(row.quality is None for row in rows.values())
    assert expert_rows(cast.elsewhere) == []


def test_a_refit_weighs_labels_by_who_gave_them(cast: Cast) -> None:
    third = make_user(cast.clinic, Role.CLINICIAN, "third")
    for person in [cast.clinician] * 6 + [cast.colleague, third]:
        answer(make_case(cast.clinic, SPLIT), "Burns", person)
    make_case(cast.clinic, SPLIT)
    run = Decision.objects.select_related("run").latest("pk").run
    evidence = gather(site=cast.clinic, domain="wound", ensemble=run.ensemble)
    assert evidence is not None
    weights = sorted(evidence.weights[evidence.labelled].tolist())
    assert weights == pytest.approx([2 / 6] * 6 + [1, 1])
    assert evidence.weights[~evidence.labelled].tolist() == [1.0]


def test_where_two_answered_one_case_their_quality_is_known(cast: Cast) -> None:
    for truth in ("Burns", "Cut") * 3:
        case = make_case(cast.clinic, SPLIT)
        Case.objects.filter(pk=case.pk).update(readings=2)
        answer(case, "Burns", cast.colleague)
        answer(case, truth, cast.clinician)
    rows = {row.name: row for row in expert_rows(cast.clinic)}
    assert rows["clinician"].overlap == rows["colleague"].overlap == 6
    assert rows["clinician"].quality is not None
    assert 0 <= rows["clinician"].quality <= 1


def cases(site: Site, count: int, labels: tuple[str, ...], described: str) -> None:
    for at in range(count):
        make_case(site, labels, described=f"{described} {at % 3}", disagreement=0.05)


def test_other_words_for_what_is_seen_are_drift(cast: Cast) -> None:
    in_force(cast.clinic)
    cases(cast.clinic, 24, ("Burns",) * 3, "a hand")
    in_force(cast.clinic)
    cases(cast.clinic, 24, ("Burns",) * 3, "a hand")
    assert drift_sentences(cast.clinic) == []
    in_force(cast.clinic)
    cases(cast.clinic, 24, ("Burns",) * 3, "a shoe under a lamp")
    assert any("texts are unlike" in line for line in drift_sentences(cast.clinic))


def more_deferrals(cast: Cast, labels: tuple[str | None, ...]) -> list[str]:
    """What is said after sure cases were followed by these, which are all deferred."""
    in_force(cast.clinic)
    cases(cast.clinic, 24, ("Burns",) * 3, "a hand")
    in_force(cast.clinic, threshold=0.2)
    for _ in range(24):
        make_case(cast.clinic, labels, described="a hand 1")
    assert Decision.objects.filter(outcome=Outcome.DEFER).count() == 24
    return drift_sentences(cast.clinic)


def test_more_deferrals_than_the_threshold_meant_are_drift(cast: Cast) -> None:
    said = more_deferrals(cast, ("Burns", "Burns", "Cut"))
    assert any("of the cases are deferred" in line for line in said)


def test_what_a_failed_member_defers_is_no_drift_of_the_threshold(cast: Cast) -> None:
    said = more_deferrals(cast, ("Burns", "Burns", None))
    assert not any("of the cases are deferred" in line for line in said)


def test_what_a_failed_member_deferred_before_is_not_held_against_today(cast: Cast) -> None:
    """Then their scores were below the threshold: they would have counted as kept."""
    in_force(cast.clinic)
    for _ in range(24):
        make_case(cast.clinic, ("Burns", "Burns", None), described="a hand 1")
    in_force(cast.clinic)
    cases(cast.clinic, 24, ("Burns",) * 3, "a hand")
    policy = active_policy(cast.clinic, "wound")
    assert policy is not None and policy.calibration is not None
    earlier = Decision.objects.filter(decided_at__lte=policy.calibration.created_at)
    window = drift._window(policy)
    assert window is not None and earlier.count() == 24
    assert len(drift._deferred_then(policy, earlier)) == len(window[0])


def test_what_a_learning_camera_defers_is_no_drift(cast: Cast) -> None:
    in_force(cast.clinic)
    cases(cast.clinic, 24, ("Burns",) * 3, "a hand")
    in_force(cast.clinic)
    cast.clinic.learnings.create(domain="wound")
    cases(cast.clinic, 24, ("Burns",) * 3, "a hand")
    assert Decision.objects.filter(outcome=Outcome.DEFER).count() == 24
    assert drift_sentences(cast.clinic) == []
