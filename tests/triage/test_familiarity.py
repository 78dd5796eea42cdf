"""A picture unlike anything known goes to a person, however sure the members are."""

import math

import numpy as np
import pytest

from inference.models import Run
from inference.uq.novelty import Reference, fit_reference
from tests.factories import SIGNATURE, make_case, make_policy, make_site
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, Outcome
from triage.models import Case, Decision, Site
from triage.reasons import in_words
from triage.selectors import familiarity
from triage.selectors.cases import case_page
from triage.selectors.evidence import gather
from triage.services.verdicts import judge

pytestmark = pytest.mark.django_db
D = 8
CLINICIAN = frozenset({"clinician"})


@pytest.fixture(autouse=True)
def reference(no_reference: None, monkeypatch: pytest.MonkeyPatch) -> Reference:
    """For wounds, and for wounds alone: familiar is what points along the first axis."""
    made = fit_reference(like(0, 100), np.arange(100))
    found = {"wound": made}
    monkeypatch.setattr(familiarity, "load_reference", found.get)
    return made


def like(number: int, count: int = 1, seed: int = 0, noise: float = 0.1) -> np.ndarray:
    """Vectors (count, 8) that point nearly along an axis."""
    strayed = noise * np.random.default_rng(seed).normal(size=(count, D))
    return np.array(np.eye(D)[number] + strayed, np.float32)


@pytest.fixture
def site() -> Site:
    site = make_site()
    make_policy(site)
    return site


def seen(site: Site, number: int, **options: object) -> Case:
    return make_case(site, visual=like(number, seed=7, noise=0.02)[0], **options)  # type: ignore[arg-type]


def resolve(case: Case, label: str = "Burns") -> Case:
    Case.objects.filter(pk=case.pk).update(
        status=CaseStatus.RESOLVED,
        waiting_due_at=None,
        label=label,
        resolved_at=case.created_at,
    )
    return case


def reasons(case: Case) -> list[str]:
    return list(Decision.objects.get(case=case).reasons)


def test_a_familiar_picture_is_accepted(site: Site, reference: Reference) -> None:
    case = seen(site, 0)
    assert (case.status, reasons(case)) == (CaseStatus.ACCEPTED, ["certain"])
    explanation = Decision.objects.get(case=case).explanation
    assert 0 <= explanation["novelty"] < 0.95
    assert explanation["novelty_threshold"] == 0.95
    assert explanation["novelty_reference"] == reference.fingerprint


def test_an_unfamiliar_one_is_deferred_however_sure_the_members_are(site: Site) -> None:
    case = seen(site, 1)
    assert (case.status, reasons(case)) == (CaseStatus.DEFERRED, ["unfamiliar"])
    assert "unlike what the ensemble was trained on" in in_words("unfamiliar")


def test_an_unfamiliar_unsure_one_says_both(site: Site) -> None:
    case = seen(site, 1, labels=("Burns", "Burns", "Cut"))
    assert reasons(case) == ["above_threshold", "unfamiliar"]


def test_the_references_own_threshold_decides(
    site: Site, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = seen(site, 0)
    novelty = Decision.objects.get(case=case).explanation["novelty"]
    assert 0 < novelty < 0.95
    for threshold, expected in ((novelty, ["certain"]), (novelty - 0.01, ["unfamiliar"])):
        strict = fit_reference(like(0, 100), np.arange(100), threshold=threshold)
        monkeypatch.setattr(familiarity, "load_reference", {"wound": strict}.get)
        assert reasons(seen(make_twin(site), 0)) == expected


def make_twin(site: Site) -> Site:
    twin = make_site(domain=site.domain)
    make_policy(twin)
    return twin


def test_a_picture_that_was_not_looked_at_is_deferred(site: Site) -> None:
    assert reasons(make_case(site)) == ["novelty_unknown"]
    assert reasons(make_case(site, visual=np.full(D, np.nan))) == ["novelty_unknown"]
    assert reasons(make_case(site, visual=np.ones(D + 1))) == ["novelty_unknown"]


def test_a_domain_without_a_reference_has_no_objection() -> None:
    home = make_site(domain="home")
    make_policy(home)
    case = make_case(home, ("normal",) * 3)
    assert reasons(case) == ["certain"]
    assert "novelty" not in Decision.objects.get(case=case).explanation


def test_a_broken_reference_asks_a_person(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_domain: str) -> Reference:
        raise ValueError("no archive")

    monkeypatch.setattr(familiarity, "load_reference", broken)
    assert reasons(seen(site, 0)) == ["decision_failed"]


def test_a_threshold_that_is_no_number_makes_nothing_familiar() -> None:
    found = familiarity.Familiarity(0.0, math.nan)
    assert (found.objections, found.to_dict()["novelty_threshold"]) == (["unfamiliar"], None)


def test_what_people_have_resolved_here_becomes_familiar_here(site: Site) -> None:
    for row in like(1, 3, seed=3, noise=0.02):
        resolve(make_case(site, visual=row))
    assert reasons(seen(site, 1)) == ["certain"]
    assert reasons(seen(make_twin(site), 1)) == ["unfamiliar"], "another site has not seen it"


def test_where_the_ensemble_was_wrong_nothing_becomes_familiar(site: Site) -> None:
    for row in like(1, 3, seed=3, noise=0.02):
        resolve(make_case(site, visual=row), "Cut")
    assert reasons(seen(site, 1)) == ["unfamiliar"]


def test_two_resolved_cases_make_nothing_familiar(site: Site) -> None:
    for row in like(1, 2, seed=3, noise=0.02):
        resolve(make_case(site, visual=row))
    assert reasons(seen(site, 1)) == ["unfamiliar"]


def test_what_waits_or_was_another_ensembles_makes_nothing_familiar(site: Site) -> None:
    cases = [make_case(site, visual=row) for row in like(1, 3, seed=3, noise=0.02)]
    assert reasons(seen(site, 1)) == ["unfamiliar"]
    for case in cases:
        resolve(case)
    Run.objects.filter(observation__case__in=cases).update(ensemble="f" * 64)
    assert reasons(seen(site, 1)) == ["unfamiliar"]


def test_a_case_does_not_make_itself_familiar(site: Site) -> None:
    for row in like(1, 2, seed=3, noise=0.02):
        resolve(make_case(site, visual=row))
    third = resolve(seen(site, 1))
    run = Run.objects.get(observation__case=third)
    assert "unfamiliar" in judge(run, None).reasons


def test_only_the_newest_resolved_cases_count(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(familiarity, "NEWEST", 3)
    for row in like(1, 3, seed=3, noise=0.02):
        resolve(make_case(site, visual=row))
    assert reasons(seen(site, 1)) == ["certain"]
    resolve(seen(site, 2))
    assert reasons(seen(site, 1)) == ["unfamiliar"]


def test_an_unfamiliar_case_is_due_as_early_as_an_unsure_one(site: Site) -> None:
    sure, strange = seen(site, 0), seen(site, 1)
    Case.objects.filter(pk=sure.pk).update(status=CaseStatus.OPEN, waiting_due_at=None)
    assert strange.due_at is not None
    hours = (strange.due_at - strange.created_at).total_seconds() / 3600
    assert hours == pytest.approx(24 / (3 * 3), abs=0.01)


def test_no_replay_accepts_what_is_unfamiliar(site: Site) -> None:
    seen(site, 0)
    resolve(seen(site, 1))
    evidence = gather(site=site, domain="wound", ensemble=SIGNATURE)
    assert evidence is not None
    assert evidence.trusted.tolist() == [False, True], "newest first"


def test_the_case_page_explains_the_novelty(cast: Cast) -> None:
    make_policy(cast.clinic)
    strange, familiar_one = seen(cast.clinic, 1), seen(cast.clinic, 0)
    page = case_page(case=strange, user=cast.clinician, roles=CLINICIAN)
    [row] = [score for score in page.scores if score.method == "novelty"]
    assert (row.value, row.level, row.deciding) == (1.0, "high", True)
    assert "familiar pictures that are nearer" in row.sentence
    assert in_words("unfamiliar") in page.reasons
    [row] = [
        score
        for score in case_page(case=familiar_one, user=cast.clinician, roles=CLINICIAN).scores
        if score.method == "novelty"
    ]
    assert not row.deciding
    assert Decision.objects.get(case=familiar_one).outcome == Outcome.ACCEPT


def test_a_case_without_a_reference_shows_no_novelty(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(familiarity, "load_reference", lambda _domain: None)
    page = case_page(case=make_case(cast.clinic), user=cast.clinician, roles=CLINICIAN)
    assert page.scores and "novelty" not in {score.method for score in page.scores}
