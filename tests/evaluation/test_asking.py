from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from inference.backends.base import Backend, Generation, OnText, Request
from inference.backends.errors import GenerationFailed, ModelUnavailable
from inference.backends.registry import load_backend, read_members
from inference.evaluation.asking import (
    BATCH,
    AskedCase,
    ask_all,
    ask_member,
    read_picture,
    said,
    seconds_per_case,
)
from inference.evaluation.folder import LabelledPhoto, read_folder
from inference.pipeline.domains import load_domain
from inference.pipeline.run import run_member
from inference.uq.answers import MemberAnswer
from tests.evaluation.drawn import draw_folder, members_file

WOUND = load_domain("wound")


class Fragile:
    """A backend that fails on batches, on some calls alone, or for good."""

    def __init__(self, backend: Backend, *, most: int = 1, broken: bool = False) -> None:
        self.backend, self.most, self.broken = backend, most, broken
        self.calls: list[int] = []

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        self.calls.append(len(requests))
        if self.broken:
            raise ModelUnavailable("its weights are gone")
        if len(requests) > self.most:
            raise GenerationFailed("too many at once")
        return self.backend.generate(requests, on_text)


def loaded(folder: Path, **options: dict[str, object]) -> dict[str, Backend]:
    return {spec.name: load_backend(spec) for spec in read_members(members_file(folder, **options))}


def photos_in(folder: Path, count: int) -> tuple[LabelledPhoto, ...]:
    return read_folder(draw_folder(folder, count), WOUND.label_ids)


def ask(photos: Sequence[LabelledPhoto], members: dict[str, Backend]) -> list[AskedCase]:
    return ask_all(photos, members, WOUND, tell=lambda _: None)


def pictures_of(photos: Sequence[LabelledPhoto]) -> list[Image.Image]:
    return [picture for photo in photos if (picture := read_picture(photo)) is not None]


def words(traces: Sequence[object]) -> list[tuple[object, object]]:
    return [(trace.stage, trace.fields) for trace in traces]  # type: ignore[attr-defined]


def test_a_batch_says_what_each_picture_alone_would(tmp_path: Path) -> None:
    backend = loaded(tmp_path)["one"]
    pictures = pictures_of(photos_in(tmp_path, 3))
    together = ask_member(backend, WOUND, pictures)
    alone = [run_member(backend, WOUND, (picture,), seed=0) for picture in pictures]
    assert [words(traces) for traces in together] == [words(traces) for traces in alone]


def test_a_failing_batch_is_asked_one_by_one(tmp_path: Path) -> None:
    backend = loaded(tmp_path)["one"]
    pictures = pictures_of(photos_in(tmp_path, 3))
    fragile = Fragile(backend)
    asked = ask_member(fragile, WOUND, pictures)
    assert [words(traces) for traces in asked] == [
        words(traces) for traces in ask_member(backend, WOUND, pictures)
    ]
    assert fragile.calls == [3, 1, 1, 1, 1, 1, 1]


def test_a_member_that_fails_on_a_case_is_missing_there(tmp_path: Path) -> None:
    members = loaded(tmp_path)
    members["two"] = Fragile(members["two"], most=0)
    [case] = ask(photos_in(tmp_path, 1), members)
    assert case.answers["two"] == MemberAnswer()
    assert case.whole == {"one", "three"}


def test_a_member_that_cannot_be_used_ends_the_evaluation(tmp_path: Path) -> None:
    members = loaded(tmp_path)
    members["two"] = Fragile(members["two"], broken=True)
    with pytest.raises(ModelUnavailable, match="weights are gone"):
        ask(photos_in(tmp_path, 1), members)


def test_cases_keep_the_order_of_the_folder_over_batches(tmp_path: Path) -> None:
    photos = photos_in(tmp_path, BATCH + 2)
    heard: list[str] = []
    cases = ask_all(photos, loaded(tmp_path), WOUND, tell=heard.append)
    assert [case.truth for case in cases] == [photo.label for photo in photos]
    assert heard == [f"{BATCH} of 18 photos asked", "18 of 18 photos asked"]
    alone = ask(photos[-1:], loaded(tmp_path))
    assert cases[-1].answers == alone[0].answers


def test_a_photo_that_cannot_be_decoded_is_put_to_nobody(tmp_path: Path) -> None:
    photos = photos_in(tmp_path, 3)
    photos[1].path.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    cases = ask(photos, loaded(tmp_path))
    assert [case.readable for case in cases] == [True, False, True]
    assert cases[1].answers == {}
    assert cases[1].whole == frozenset()
    assert all(case.answers for case in (cases[0], cases[2]))


@pytest.mark.parametrize("fault", ["garbage", "truncated", "nan", "unknown_label"])
def test_output_that_cannot_be_parsed_is_missing(tmp_path: Path, fault: str) -> None:
    members = loaded(tmp_path, two={"fail": fault, "fail_on": "answer"})
    [case] = ask(photos_in(tmp_path, 1), members)
    assert case.whole == {"one", "three"}
    if fault != "truncated":  # what was cut off may still be repaired, and is not whole even so
        assert case.answers["two"] == MemberAnswer()


def test_an_unreadable_reflection_leaves_the_answer_and_the_member_not_whole(
    tmp_path: Path,
) -> None:
    members = loaded(tmp_path, three={"fail": "garbage", "fail_on": "reflection"})
    [case] = ask(photos_in(tmp_path, 1), members)
    assert case.answers["three"].label in WOUND.label_ids
    assert case.answers["three"].reflected == ""
    assert case.whole == {"one", "two"}


def test_no_traces_are_no_answer() -> None:
    assert said(()) == MemberAnswer()


def test_time_is_taken_of_single_cases(tmp_path: Path) -> None:
    members = loaded(tmp_path, one={"delay_s": 0.02})
    finished: list[object] = []
    seconds = seconds_per_case(photos_in(tmp_path, 3), members, WOUND, finished.append, cases=2)
    assert len(finished) == 3
    assert 0.04 <= seconds < 5


def test_without_a_readable_photo_no_time_is_taken(tmp_path: Path) -> None:
    photos = photos_in(tmp_path, 1)
    photos[0].path.write_bytes(b"")
    assert seconds_per_case(photos, loaded(tmp_path), WOUND, lambda _: None) == 0
