"""The study and the replay on simulated answers of which the outcome is known."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from inference.evaluation import nested as fitting
from inference.evaluation.nested import Labelled
from inference.evaluation.study import averaged, study
from inference.management.commands import evaluate
from inference.uq.answers import Answers
from inference.uq.promotion import LEARNED, VOTE
from inference.uq.types import Objects
from tests.evaluation.test_page import Reader
from tests.uq.simulated import ensemble, telling


def cases_of(answers: Answers, truth: Objects) -> Labelled:
    return Labelled(answers, truth, np.ones(len(truth), dtype=bool))


KNOWN = cases_of(*telling(240))
OTHER = cases_of(*telling(60, seed=5, shifted=True))


def joined(first: Labelled, second: Labelled) -> Labelled:
    arrays = {
        name: np.concatenate([getattr(first.answers, name), getattr(second.answers, name)])
        for name in vars(first.answers)
        if name != "members"
    }
    answers = Answers(first.answers.members, **arrays)
    return cases_of(answers, np.concatenate([first.truth, second.truth]))


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    kinds = np.array(["kitchen"] * 240 + ["garden"] * 60, dtype=object)
    return study(joined(KNOWN, OTHER), kinds, tell=quiet)


def test_nested_judgements_are_of_cases_that_fitted_nothing() -> None:
    """Where texts say nothing of the truth, whoever saw a case would seem to know it."""
    answers, _ = ensemble(150)
    truth = np.array(["burn", "cut", "bruise"], dtype=object)[
        np.random.default_rng(3).integers(3, size=150)
    ]
    judged = fitting.nested(cases_of(answers, truth))
    assert (judged.labels[LEARNED] == truth).mean() < 0.5


def test_nested_judgements_stand_in_the_order_of_the_cases() -> None:
    judged = fitting.nested(KNOWN)
    assert (judged.labels[LEARNED] == KNOWN.truth).mean() > 0.95
    assert set(judged.decides) == {LEARNED}
    assert len(judged.choices) == 5


def test_where_texts_are_new_the_vote_decides() -> None:
    judged = fitting.judge(fitting.fit(KNOWN), OTHER.answers, OTHER.sound)
    assert set(judged.decides) == {VOTE}
    assert "unlike those of calibration" in judged.choices[0].why
    assert (judged.decided == judged.labels[VOTE]).all()
    same = cases_of(*telling(60, seed=6))
    judged = fitting.judge(fitting.fit(KNOWN), same.answers, same.sound)
    assert set(judged.decides) == {LEARNED}


def test_a_case_that_is_not_sound_is_deferred_first_and_teaches_nothing() -> None:
    unsound = Labelled(KNOWN.answers, KNOWN.truth, np.arange(240) >= 12)
    judged = fitting.nested(unsound)
    for method, values in judged.scores.items():
        assert np.isnan(values[:12]).all(), method
    assert np.isfinite(judged.error[LEARNED]).all()
    lies = KNOWN.truth.copy()
    lies[:12] = "bite"
    again = fitting.fit(Labelled(KNOWN.answers, lies, unsound.sound))
    assert again.learned
    assert "bite" not in again.learned.classes_


def test_every_part_of_the_study_is_there(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["n"] == 300
    assert found["baseline"]["learned aggregator"] > found["baseline"]["vote"] > 0.8
    assert set(found["ablation"]) == {
        "S1 + S2 + S3", "S1 + S2", "S1 + S3", "S2 + S3", "S1", "S2", "S3",
    }  # fmt: skip
    assert list(found["ensemble_size"]) == ["1", "2", "3"]
    assert {"s1", "s2", "s3", "alarm", "learned"} <= set(found["stages"])
    assert [row["labels"] for row in found["label_budget"]] == [0, 50, 100, 200, 240]


def test_the_learned_aggregator_lives_by_the_descriptions_here(found: dict[str, Any]) -> None:
    right = {name: worth["kept_accuracy"]["0"] for name, worth in found["texts"].items()}
    assert right["without descriptions"] < right["all that was said"] - 0.03
    assert right["without reasonings"] == pytest.approx(right["all that was said"], abs=0.03)


def test_bands_lie_around_their_curves(found: dict[str, Any]) -> None:
    curve = found["risk_coverage"]["learned"]
    for low, kept, high in zip(curve["low"], curve["kept"], curve["high"], strict=True):
        assert low - 0.02 <= kept <= high + 0.02
        assert low < high or kept == 1


def test_each_kind_is_held_out_and_recognised(found: dict[str, Any]) -> None:
    garden = found["shift"]["garden"]
    assert garden["n"] == 60
    assert garden["recognised"]
    assert garden["decides"] == VOTE
    assert garden["learned"] < garden["vote"] == garden["accuracy"]


def test_the_guarantee_is_kept(found: dict[str, Any]) -> None:
    assert found["guarantee"]["violated"] <= found["guarantee"]["delta"]
    assert found["guarantee"]["found"] > 0.5


def test_too_few_cases_are_no_study() -> None:
    with pytest.raises(ValueError, match="needs 60"):
        study(KNOWN.take(np.arange(59)), np.full(59, ""), tell=quiet)
    right = KNOWN.take(np.flatnonzero((KNOWN.answers.labels == KNOWN.truth[:, None]).all(axis=1)))
    with pytest.raises(ValueError, match="some right and some wrong"):
        study(right, np.full(len(right), ""), tell=quiet)


def test_averages_are_of_numbers_and_keep_the_rest() -> None:
    rows = [{"n": 3, "a": {"b": 1.0}, "c": None, "d": "x"}, None, {"n": 3, "a": {"b": 2.0}, "c": 1}]
    assert averaged(rows) == {"n": 3, "a": {"b": 1.5}, "c": None, "d": "x"}
    assert averaged([None]) is None


# The command -------------------------------------------------------------------------------------


def write(path: Path, labelled: Labelled, kind: str) -> Path:
    a = labelled.answers
    rows = [
        {
            "truth": labelled.truth[at],
            "category": kind,
            "members": [
                {
                    "model": name,
                    "description": a.description_texts[at, place],
                    "reasoning": a.reasoning_texts[at, place],
                    "label": a.labels[at, place],
                    "reflected": a.reflected[at, place],
                }
                for place, name in enumerate(a.members)
            ],
        }
        for at in range(len(labelled))
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _words_as_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(texts: list[str]) -> np.ndarray:
        """Each word a direction; enough to tell kitchens from gardens."""
        out = np.full((len(texts), 64), np.nan)
        for place, text in enumerate(texts):
            if text:
                out[place] = 0.0
                for word in text.split():
                    out[place] += np.random.default_rng(sum(map(ord, word))).normal(size=64)
        return out

    monkeypatch.setattr(evaluate, "embed", embed)


def run(*options: object) -> str:
    stdout = StringIO()
    call_command("evaluate", *options, stdout=stdout)
    return stdout.getvalue()


def test_a_replay_judges_a_file_by_nested_cross_validation(tmp_path: Path) -> None:
    path = write(tmp_path / "one.jsonl", KNOWN.take(np.arange(120)), "kitchen")
    summary = json.loads(run("--replay", path, "--out", tmp_path / "out", "--json"))
    assert summary["n"] == 120
    assert summary["aggregator"]["chosen"] == LEARNED
    assert summary["accuracy"] == summary["aggregator"]["learned"]["kept_accuracy"]["0"] > 0.95
    assert summary["kept_accuracy"]["aggregator"] == summary["kept_accuracy"]["learned"]
    assert summary["kept_accuracy"]["vote_entropy"]["0"] < summary["accuracy"]
    assert summary["sources"]["kitchen"]["n"] == 120
    assert summary["study"]["n"] == 120
    reader = Reader((tmp_path / "out/evaluation.html").read_text())
    words = " ".join(reader.words)
    assert reader.open == []
    for section in ("Stage by stage", "What labels buy", "Does the guarantee hold?"):
        assert section in words
    assert "accuracy of the learned aggregator" in words


def test_a_second_file_is_judged_by_what_the_first_taught(tmp_path: Path) -> None:
    first = write(tmp_path / "one.jsonl", KNOWN, "kitchen")
    second = write(tmp_path / "two.jsonl", OTHER, "garden")
    run("--replay", first, "--test", second, "--out", tmp_path / "out")
    summary = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert summary["n"] == 60
    assert summary["aggregator"]["chosen"] == VOTE
    assert summary["aggregator"]["drift"]["drifted"]
    assert summary["accuracy"] == summary["aggregator"]["vote"]["kept_accuracy"]["0"]
    assert summary["accuracy"] > summary["aggregator"]["learned"]["kept_accuracy"]["0"]


@pytest.mark.parametrize(
    "options",
    [(), ("--domain", "wound"), ("--data", "x"), ("--replay", "x", "--data", "y"), ("--test", "x")],
)
def test_the_command_says_what_it_wants(tmp_path: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="--domain and --data for pictures, or --replay"):
        run("--out", tmp_path / "out", *options)


def test_files_of_other_members_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "one.jsonl", KNOWN, "")
    text = first.read_text().replace('"m2"', '"m9"')
    second = tmp_path / "two.jsonl"
    second.write_text(text)
    with pytest.raises(CommandError, match="other members"):
        run("--replay", first, "--test", second, "--out", tmp_path / "out")


def test_too_few_recorded_cases_are_a_clear_error(tmp_path: Path) -> None:
    path = write(tmp_path / "few.jsonl", KNOWN.take(np.arange(6)), "")
    with pytest.raises(CommandError, match="nothing can be fitted"):
        run("--replay", path, "--out", tmp_path / "out")
