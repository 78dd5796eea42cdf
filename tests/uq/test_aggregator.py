import json

import numpy as np
import pytest

from inference.uq import metrics
from inference.uq.aggregator import LearnedAggregator, vote_shares
from inference.uq.answers import Answers, vote
from tests.uq.simulated import LABELS, ensemble, telling, without

ANSWERS, TRUTH = telling(400)
FITTED = LearnedAggregator().fit(ANSWERS, TRUTH)
FRESH, FRESH_TRUTH = telling(600, seed=1)


def rebuilt() -> LearnedAggregator:
    return LearnedAggregator.from_dict(json.loads(json.dumps(FITTED.to_dict(), allow_nan=False)))


def test_it_learns_what_the_texts_tell_and_the_vote_does_not() -> None:
    by_vote, _ = vote(FRESH)
    assert (by_vote == FRESH_TRUTH).mean() < 0.91
    assert (FITTED.predict(FRESH).labels == FRESH_TRUTH).mean() > 0.97


def test_where_the_words_change_their_meaning_it_falls_below_the_vote() -> None:
    """Which is why nobody may let it decide without looking: see test_promotion."""
    moved, truth = telling(300, seed=2, shifted=True)
    by_vote, _ = vote(moved)
    assert (FITTED.predict(moved).labels == truth).mean() < (by_vote == truth).mean()


def test_probability_of_error_is_honest_on_new_cases() -> None:
    answers, correct = ensemble(1500)
    truth = np.where(correct == 1, vote(answers)[0], "burn")
    model = LearnedAggregator().fit(answers.take(np.arange(500)), truth[:500])
    new = model.predict(answers.take(np.arange(500, 1500)))
    wrong = new.labels != truth[500:]
    assert metrics.ece(new.error, wrong) < 0.06
    assert metrics.auroc(new.error, wrong) > 0.65


def test_held_out_opinions_are_not_those_of_the_fitted_model() -> None:
    """On answers that say nothing of the truth, a model that saw the case would seem to know."""
    answers, _ = ensemble(200)
    truth = LABELS[np.random.default_rng(5).integers(len(LABELS), size=200)]
    model = LearnedAggregator().fit(answers, truth)
    held_out = (model.held_out_.labels == truth[model.rows_]).mean()
    assert held_out < 0.4
    assert (model.predict(answers).labels == truth).mean() > held_out + 0.1
    assert model.held_out_.error.mean() == pytest.approx(1 - held_out, abs=0.08)


def test_unlabelled_cases_teach_nothing() -> None:
    truth = TRUTH.copy()
    truth[300:] = ""
    alone = LearnedAggregator().fit(ANSWERS.take(np.arange(300)), TRUTH[:300])
    among = LearnedAggregator().fit(ANSWERS, truth)
    assert among.to_dict() == alone.to_dict()
    truth[300:] = None
    assert LearnedAggregator().fit(ANSWERS, truth).to_dict() == alone.to_dict()


def test_every_opinion_can_be_rebuilt_from_json() -> None:
    before, after = FITTED.predict(FRESH), rebuilt().predict(FRESH)
    assert (after.labels == before.labels).all()
    np.testing.assert_array_equal(after.error, before.error)
    assert rebuilt().to_dict() == FITTED.to_dict()
    np.testing.assert_array_equal(rebuilt().held_out_.error, FITTED.held_out_.error)


def test_the_held_out_opinions_may_be_left_out_of_the_json() -> None:
    again = LearnedAggregator.from_dict(FITTED.to_dict(held_out=False))
    assert len(again.held_out_.labels) == len(again.rows_) == 0
    np.testing.assert_array_equal(again.predict(FRESH).error, FITTED.predict(FRESH).error)


def test_a_case_alone_gets_the_opinion_it_gets_in_a_batch() -> None:
    together = FITTED.predict(FRESH)
    for row in (0, 7):
        alone = FITTED.predict(FRESH.take(np.array([row])))
        assert alone.labels[0] == together.labels[row]
        np.testing.assert_allclose(alone.error, together.error[[row]], atol=1e-12)


def test_the_members_may_come_in_any_order_but_not_others() -> None:
    shuffled = FRESH.ordered(("m2", "m0", "m1"))
    np.testing.assert_allclose(FITTED.predict(shuffled).error, FITTED.predict(FRESH).error)
    with pytest.raises(ValueError, match="were expected"):
        FITTED.predict(FRESH.only(("m0", "m1")))


def test_without_any_vote_there_is_no_label_and_no_probability() -> None:
    silent = FRESH
    for member in range(3):
        silent = without(silent, np.array([0]), member)
    found = FITTED.predict(silent)
    assert found.labels[0] == ""
    assert np.isnan(found.error[0])
    assert np.isfinite(found.error[1:]).all()


def test_a_missing_member_leaves_an_opinion() -> None:
    found = FITTED.predict(without(FRESH, slice(None), 1))
    assert np.isfinite(found.error).all()
    assert (found.labels == FRESH_TRUTH).mean() > 0.9


def test_chances_are_shares_of_one() -> None:
    chances = FITTED.chances(FRESH)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (chances >= 0).all()


def test_the_vote_has_its_share_where_the_answers_tell_little_else() -> None:
    answers, correct = ensemble(120, seed=3)
    truth = np.where(correct == 1, vote(answers)[0], "burn")
    model = LearnedAggregator().fit(answers, truth)
    assert 0.1 <= model.blend_ <= 1
    matrix = model.features_.transform(answers).matrix()
    learned = model.regression_.chances(matrix @ model.regression_.weights_.T)
    shares = vote_shares(answers, model.classes_)
    np.testing.assert_allclose(
        model.chances(answers), (1 - model.blend_) * learned + model.blend_ * shares
    )


def test_only_so_many_cases_are_learned_from() -> None:
    model = LearnedAggregator(most=60).fit(ANSWERS, TRUTH)
    assert len(model.rows_) == len(set(model.rows_.tolist())) == 60
    assert model.rows_.max() > 60


@pytest.mark.parametrize(("labelled", "message"), [(29, "30 are needed"), (0, "0 labelled")])
def test_too_few_labels_are_refused(labelled: int, message: str) -> None:
    truth = TRUTH.copy()
    truth[labelled:] = ""
    with pytest.raises(ValueError, match=message):
        LearnedAggregator().fit(ANSWERS, truth)


def test_one_label_alone_teaches_nothing() -> None:
    with pytest.raises(ValueError, match="one label"):
        LearnedAggregator().fit(ANSWERS, np.full(len(TRUTH), "burn", dtype=object))


def test_a_label_that_no_member_ever_gave_can_be_learned() -> None:
    truth = np.where(TRUTH == "stab", "bite", TRUTH)
    labels = np.where(ANSWERS.labels == "stab", "cut", ANSWERS.labels)
    answers = Answers(**{**vars(ANSWERS), "labels": labels, "reflected": labels})
    assert "bite" in LearnedAggregator().fit(answers, truth).predict(answers).labels
