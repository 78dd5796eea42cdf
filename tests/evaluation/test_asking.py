import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from inference.backends.base import Backend, Generation, OnText, Request
from inference.backends.errors import GenerationFailed, ModelUnavailable
from inference.backends.registry import load_backend, read_members
from inference.evaluation.asking import (
    BATCH,
    AskedCase,
    Member,
    Pictures,
    ask_all,
    ask_member,
    read_pictures,
    said,
    seconds_per_case,
)
from inference.evaluation.folder import LabelledFile, read_folder
from inference.pipeline.domains import load_domain
from inference.pipeline.run import Trace, run_member
from inference.uq.answers import MemberAnswer
from tests.evaluation.drawn import draw_clip, draw_folder, members_file

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


def loaded(folder: Path, **options: dict[str, object]) -> dict[str, Member]:
    specs = read_members(members_file(folder, **options))
    return {spec.name: Member(load_backend(spec), spec.frames) for spec in specs}


def fragile(member: Member, *, most: int = 1, broken: bool = False) -> Member:
    return Member(Fragile(member.backend, most=most, broken=broken))


def files_in(folder: Path, count: int) -> tuple[LabelledFile, ...]:
    return read_folder(draw_folder(folder, count), WOUND).files


def ask(files: Sequence[LabelledFile], members: dict[str, Member]) -> list[AskedCase]:
    return ask_all(files, members, WOUND, tell=lambda _: None)


def pictures_of(files: Sequence[LabelledFile]) -> list[Pictures]:
    return [read_pictures(file) for file in files]


def words(traces: Sequence[Trace]) -> list[tuple[str, dict[str, object]]]:
    return [(trace.stage, trace.fields) for trace in traces]


def test_a_batch_says_what_each_picture_alone_would(tmp_path: Path) -> None:
    member = loaded(tmp_path)["one"]
    cases = pictures_of(files_in(tmp_path, 3))
    together = ask_member(member, WOUND, cases)
    alone = [run_member(member.backend, WOUND, case, seed=0) for case in cases]
    assert [words(traces) for traces in together] == [words(traces) for traces in alone]


def test_a_failing_batch_is_asked_one_by_one(tmp_path: Path) -> None:
    member = loaded(tmp_path)["one"]
    cases = pictures_of(files_in(tmp_path, 3))
    weak = fragile(member)
    assert [words(traces) for traces in ask_member(weak, WOUND, cases)] == [
        words(traces) for traces in ask_member(member, WOUND, cases)
    ]
    assert isinstance(weak.backend, Fragile)
    assert weak.backend.calls == [3, 1, 1, 1, 1, 1, 1]


def test_a_member_that_fails_on_a_case_is_missing_there(tmp_path: Path) -> None:
    members = loaded(tmp_path)
    members["two"] = fragile(members["two"], most=0)
    cases = ask(files_in(tmp_path, 2), members)
    for case in cases:
        assert case.answers["two"] == MemberAnswer()
        assert case.answers["one"].label
        assert case.whole == {"one", "three"}


def test_a_member_that_cannot_be_used_ends_the_evaluation(tmp_path: Path) -> None:
    members = loaded(tmp_path)
    members["two"] = fragile(members["two"], broken=True)
    with pytest.raises(ModelUnavailable, match="weights are gone"):
        ask(files_in(tmp_path, 1), members)


def test_a_folder_that_nobody_can_read_is_put_to_nobody(tmp_path: Path) -> None:
    members = loaded(tmp_path)
    members["two"] = fragile(members["two"], broken=True)
    files = files_in(tmp_path, 1)
    files[0].path.write_bytes(b"")
    [case] = ask(files, members)
    assert not case.readable


def test_cases_keep_the_order_of_the_folder_over_batches(tmp_path: Path) -> None:
    files = files_in(tmp_path, BATCH + 2)
    heard: list[str] = []
    cases = ask_all(files, loaded(tmp_path), WOUND, tell=heard.append)
    assert [case.truth for case in cases] == [file.label for file in files]
    assert heard == [f"{BATCH} of 18 cases asked", "18 of 18 cases asked"]
    alone = ask(files[-1:], loaded(tmp_path))
    assert cases[-1].answers == alone[0].answers


def test_a_file_that_cannot_be_decoded_is_put_to_nobody(tmp_path: Path) -> None:
    files = files_in(tmp_path, 3)
    files[1].path.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    cases = ask(files, loaded(tmp_path))
    assert [case.readable for case in cases] == [True, False, True]
    assert cases[1].answers == {}
    assert cases[1].whole == frozenset()
    assert all(case.answers for case in (cases[0], cases[2]))


@pytest.mark.parametrize("fault", ["garbage", "truncated", "nan", "unknown_label"])
def test_output_that_cannot_be_parsed_is_missing(tmp_path: Path, fault: str) -> None:
    members = loaded(tmp_path, two={"fail": fault, "fail_on": "answer"})
    [case] = ask(files_in(tmp_path, 1), members)
    assert case.whole == {"one", "three"}
    if fault != "truncated":  # what was cut off may still be repaired, and is not whole even so
        assert case.answers["two"] == MemberAnswer()


def test_an_unreadable_reflection_leaves_the_answer_and_the_member_not_whole(
    tmp_path: Path,
) -> None:
    members = loaded(tmp_path, three={"fail": "garbage", "fail_on": "reflection"})
    [case] = ask(files_in(tmp_path, 1), members)
    assert case.answers["three"].label in WOUND.label_ids
    assert case.answers["three"].reflected == ""
    assert case.whole == {"one", "two"}


def test_no_traces_are_no_answer() -> None:
    assert said(()) == MemberAnswer()


def test_time_is_taken_of_single_cases(tmp_path: Path) -> None:
    members = loaded(tmp_path, one={"delay_s": 0.02})
    finished: list[object] = []
    seconds = seconds_per_case(files_in(tmp_path, 3), members, WOUND, finished.append, cases=2)
    assert len(finished) == 3
    assert 0.04 <= seconds < 5


def test_without_a_readable_file_no_time_is_taken(tmp_path: Path) -> None:
    files = files_in(tmp_path, 1)
    files[0].path.write_bytes(b"")
    assert seconds_per_case(files, loaded(tmp_path), WOUND, lambda _: None) == 0


class Listening:
    """A backend that counts the pictures of each request."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.pictures: list[int] = []

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        self.pictures += [len(request.images) for request in requests]
        return self.backend.generate(requests, on_text)


def clip_in(folder: Path) -> LabelledFile:
    return LabelledFile(draw_clip(folder / "clip.gif", ["person", "fall", "fall", "pet"]), "Cut")


def test_a_clip_is_one_case_of_several_pictures(tmp_path: Path) -> None:
    clip = clip_in(tmp_path)
    pictures = read_pictures(clip)
    assert len(pictures) > 1
    assert {picture.mode for picture in pictures} == {"RGB"}
    members = loaded(tmp_path, two={"frames": "each"})
    ears = {name: Listening(member.backend) for name, member in members.items()}
    listening = {name: Member(ears[name], member.frames) for name, member in members.items()}
    cases = ask([*files_in(tmp_path, 1), clip], listening)
    assert [case.truth for case in cases] == ["Burns", "Cut"]
    assert all(case.whole == {"one", "two", "three"} for case in cases)
    assert ears["one"].pictures[:2] == [1, len(pictures)]
    assert set(ears["two"].pictures) == {1, 0}
    assert ears["two"].pictures.count(1) == 1 + len(pictures)


def test_what_the_folder_tells_of_a_file_stays_with_its_case(tmp_path: Path) -> None:
    [file] = files_in(tmp_path, 1)
    [case] = ask([replace(file, group="g", source="s")], loaded(tmp_path))
    assert (case.group, case.source) == ("g", "s")
    assert math.isnan(case.novelty)


def test_novelty_is_measured_of_what_can_be_seen(tmp_path: Path) -> None:
    files = files_in(tmp_path, 3)
    files[0].path.write_bytes(b"")

    def novelty_of(pictures: Pictures) -> float:
        if pictures == read_pictures(files[2]):
            raise GenerationFailed("looked away")
        return 0.25 * len(pictures)

    cases = ask_all(files, loaded(tmp_path), WOUND, tell=lambda _: None, novelty_of=novelty_of)
    assert [case.novelty for case in cases] == pytest.approx(
        [math.nan, 0.25, math.nan], nan_ok=True
    )
    assert cases[2].answers


def test_novelty_that_can_never_be_measured_is_said(tmp_path: Path) -> None:
    def novelty_of(_: Pictures) -> float:
        raise ModelUnavailable("no tower")

    with pytest.raises(ModelUnavailable, match="no tower"):
        ask_all(
            files_in(tmp_path, 1),
            loaded(tmp_path),
            WOUND,
            tell=lambda _: None,
            novelty_of=novelty_of,
        )
