"""What an observation looks like is stored once, and never costs a job."""

import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from inference.backends.registry import folder_fingerprint
from inference.models import Observation
from inference.novelty import load_reference, look
from inference.services.looking import ensure_visual, shipped_novelty, visual_of
from inference.services.runs import finish_run
from inference.uq.novelty import Reference, fit_reference
from tests.factories import make_case, make_site

D = 8
PICTURE = Image.new("RGB", (40, 30), "teal")


@pytest.fixture
def members(tmp_path: Path, settings: object) -> Path:
    settings.ALARM_MEMBERS = tmp_path / "members.toml"  # type: ignore[attr-defined]
    return tmp_path


@pytest.fixture
def reference(members: Path) -> Reference:
    """Familiar is what points along the first axis."""
    rows = np.eye(D, dtype=np.float32)[0] + 0.1 * np.random.default_rng(0).normal(size=(100, D))
    made = fit_reference(rows.astype(np.float32), np.arange(100))
    made.save(members / "wound-reference.npz")
    return made


def axis(number: int) -> np.ndarray:
    return np.array(np.eye(D)[number], np.float32)


def test_a_domain_without_a_file_has_no_reference(members: Path) -> None:
    assert load_reference("wound") is None


def test_a_reference_lies_beside_the_members_and_is_read_again(
    members: Path, reference: Reference
) -> None:
    first = load_reference("wound")
    assert first is not None and first is load_reference("wound")
    assert load_reference("home") is None
    path = members / "wound-reference.npz"
    fit_reference(reference.vectors.astype(np.float32), np.arange(100), threshold=0.5).save(path)
    os.utime(path, (1, 1))
    assert load_reference("wound").threshold == 0.5  # type: ignore[union-attr]


@pytest.mark.django_db
def test_the_first_worker_looks_and_the_others_do_not(reference: Reference) -> None:
    observation = Observation.objects.create(domain="wound")
    with patch("inference.services.looking.look", return_value=axis(1)) as looking:
        ensure_visual(observation, [PICTURE])
        ensure_visual(Observation.objects.get(), [PICTURE])
    assert looking.call_count == 1
    stored = visual_of(Observation.objects.get())
    assert stored is not None and stored.tolist() == axis(1).tolist()


@pytest.mark.django_db
def test_a_look_that_fails_is_logged_and_leaves_nothing(
    reference: Reference, caplog: pytest.LogCaptureFixture
) -> None:
    observation = Observation.objects.create(domain="wound")
    with patch("inference.services.looking.look", side_effect=MemoryError):
        ensure_visual(observation, [PICTURE])
    assert "cannot be looked at" in caplog.text
    assert visual_of(Observation.objects.get()) is None


@pytest.mark.django_db
def test_nobody_looks_where_there_is_no_reference(members: Path) -> None:
    with patch("inference.services.looking.look") as looking:
        ensure_visual(Observation.objects.create(domain="wound"), [PICTURE])
    assert not looking.called


@pytest.mark.django_db
def test_novelty_is_a_score_of_the_run(reference: Reference) -> None:
    site = make_site()
    near, far = (make_case(site, visual=axis(number)) for number in (0, 1))
    blind = make_case(site)
    scores = [
        dict(case.observation.runs.get().scores.values_list("method", "value"))
        for case in (near, far, blind)
    ]
    assert scores[0]["novelty"] == 0.0, "the very middle of what is familiar"
    assert scores[1]["novelty"] == 1.0
    assert "novelty" not in scores[2]


@pytest.mark.django_db
def test_novelty_is_there_even_where_no_member_answered(reference: Reference) -> None:
    case = make_case(make_site(), (None, None, None), visual=axis(1))
    assert case.observation.runs.get().scores.get().method == "novelty"


@pytest.mark.django_db
def test_a_broken_reference_does_not_break_the_run(
    members: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (members / "wound-reference.npz").write_bytes(b"no archive")
    case = make_case(make_site(), finish=False, visual=axis(0))
    assert shipped_novelty(case.observation) is None
    run = case.observation.runs.get()
    finish_run(run_id=run.id)
    run.refresh_from_db()
    assert (run.status, run.problems) == ("scored", [])
    assert "no novelty" in caplog.text


@pytest.mark.slow
def test_the_eye_sees_the_picture_and_averages_frames() -> None:
    from inference.drawings import draw_wound

    first, second = (draw_wound(100_000 + n, "Burns") for n in (0, 1))
    alone = [look([picture]) for picture in (first, second)]
    assert alone[0].dtype == np.float32 and alone[0].ndim == 1
    assert not np.allclose(alone[0], alone[1])
    together = look([first, second])
    assert np.allclose(together, np.mean(alone, axis=0), atol=1e-4)
    with pytest.raises(ValueError, match="no picture"):
        look([])


def test_a_reference_of_another_eye_is_refused(members: Path, reference: Reference) -> None:
    path = members / "wound-reference.npz"
    (members / "eye").mkdir()
    (members / "eye" / "model.safetensors").write_bytes(b"weights")
    replace(reference, eye=folder_fingerprint(members / "eye")).save(path)
    assert load_reference("wound") is not None
    (members / "eye" / "model.safetensors").write_bytes(b"others")
    with pytest.raises(ValueError, match=r"wound-reference.npz was made with another eye"):
        load_reference("wound")


def test_the_shipped_references_are_of_the_eye_that_ships() -> None:
    assert load_reference("wound") is not None
    assert load_reference("home") is not None
