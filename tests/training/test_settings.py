"""What is finished is kept for as long as nothing that decides it changes."""

from dataclasses import replace
from pathlib import Path

import pytest

from inference.training.__main__ import make_settings, read_arguments
from inference.training.decoder import DecoderSettings
from inference.training.finetune import TowerSettings
from inference.training.lessons import LessonSettings
from inference.training.member import DecoderShape
from inference.training.settings import EVERYTHING, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data = []
    for domain_id in ("wound", "home"):
        folder = tmp_path / domain_id
        folder.mkdir()
        (folder / "labels.csv").write_text("file,label\n")
        data.append((domain_id, folder))
    return Settings(tuple(data), tmp_path / "work")


def test_the_words_are_taught_anew_without_tuning_the_towers(settings: Settings) -> None:
    for changed in (
        replace(settings, lessons=LessonSettings(count=9)),
        replace(settings, decoder=DecoderSettings(passes=9.0)),
        replace(settings, shape=DecoderShape(width=64)),
        replace(settings, vocabulary=900),
        replace(settings, members=("lite1", "lite0")),
    ):
        assert changed.run != settings.run
        assert changed.towers == settings.towers


def test_whatever_decides_a_tower_decides_all_that_follows(settings: Settings) -> None:
    for changed in (
        replace(settings, tower=TowerSettings(epochs=1)),
        replace(settings, folds=3),
        replace(settings, seed=1),
        replace(settings, augmentations=2),
        replace(settings, drawings=2),
        replace(settings, data=settings.data[:1]),
    ):
        assert changed.run != settings.run
        assert changed.towers != settings.towers


def test_other_labels_are_other_pictures(settings: Settings) -> None:
    before = settings.run, settings.towers, settings.album("wound"), settings.album("home")
    (settings.data[0][1] / "labels.csv").write_text("file,label\na.png,Cut\n")
    after = settings.run, settings.towers, settings.album("wound"), settings.album("home")
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        False,
        False,
        False,
        True,
    ]
    assert settings.album("wound") != replace(settings, seed=1).album("wound")
    assert settings.album("wound") != replace(settings, augmentations=1).album("wound")


def test_where_a_folder_lies_does_not_matter(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    moved = replace(settings, data=(settings.data[0], ("home", tmp_path / "elsewhere")))
    assert moved.run.name == Settings(moved.data, tmp_path / "other").run.name
    assert moved.run.parent == settings.work


def test_there_is_a_part_a_fold_and_one_of_everything(settings: Settings) -> None:
    assert settings.parts == (EVERYTHING,)
    assert replace(settings, folds=2).parts == (0, 1, EVERYTHING)


def test_folders_are_named_with_their_domain_or_are_of_wounds() -> None:
    given = read_arguments(["--data", "wound=a/b", "home=c=d", "e"])
    assert given.data == [("wound", Path("a/b")), ("home", Path("c=d")), ("wound", Path("e"))]
    settings = make_settings(given)
    assert settings.data == tuple(given.data)
    assert (settings.folds, settings.members) == (0, ("lite0", "lite1", "lite2"))
    assert settings.lessons == LessonSettings()


def test_arguments_become_settings() -> None:
    command = ["--data", "a", "--folds", "3", "--seed", "4", "--drawings", "2", "--work", "w"]
    settings = make_settings(read_arguments([*command, "--members", "lite2", "lite0"]))
    assert settings == Settings(
        data=(("wound", Path("a")),),
        work=Path("w"),
        members=("lite2", "lite0"),
        folds=3,
        seed=4,
        drawings=2,
    )


def test_a_quick_training_has_tiny_settings() -> None:
    quick = make_settings(read_arguments(["--data", "a", "--quick", "--folds", "2"]))
    plain = make_settings(read_arguments(["--data", "a", "--folds", "2"]))
    assert quick.folds == plain.folds
    assert quick.lessons.count < plain.lessons.count
    assert quick.shape.width < plain.shape.width
    assert quick.tower.epochs < plain.tower.epochs
    assert quick.decoder.language_steps < plain.decoder.language_steps


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--folds", "1"], "to judge, say 2 or more"),
        (["--folds", "-2"], "to judge, say 2 or more"),
        (["--members", "lite9"], "choose from"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--data", "a", *wrong])
    assert said in capsys.readouterr().err
