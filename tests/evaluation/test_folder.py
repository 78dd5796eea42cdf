from pathlib import Path

import pytest

from inference.evaluation.folder import EvaluationError, LabelledFile, read_folder, sides_of
from inference.pipeline.domains import load_domain
from tests.evaluation.drawn import draw_folder

WOUND, HOME = load_domain("wound"), load_domain("home")


@pytest.mark.parametrize("below", ["images", "."])
def test_files_are_found_beside_the_labels_and_in_images(tmp_path: Path, below: str) -> None:
    folder = read_folder(draw_folder(tmp_path, 4, below=below), WOUND)
    assert [file.label for file in folder.files] == ["Burns", "Cut", "Bruises", "Burns"]
    assert [file.path for file in folder.files] == [
        tmp_path / below / f"p{index}.png" for index in range(4)
    ]
    assert not folder.by_side


def test_a_byte_order_mark_blanks_and_spaces_do_no_harm(tmp_path: Path) -> None:
    draw_folder(tmp_path, 1)
    (tmp_path / "labels.csv").write_bytes("\ufefffile,label\r\np0.png, Burns \r\n\r\n".encode())
    [file] = read_folder(tmp_path, WOUND).files
    assert file.label == "Burns"


def test_groups_and_sources_are_read_where_they_are_told(tmp_path: Path) -> None:
    draw_folder(tmp_path, 2, below=".")
    (tmp_path / "cam__a__1.png").write_bytes((tmp_path / "p0.png").read_bytes())
    (tmp_path / "labels.csv").write_text(
        "file,group,label\ncam__a__1.png, g1 ,normal\np1.png,,abnormal\n"
    )
    folder = read_folder(tmp_path, HOME)
    assert folder.by_side
    assert folder.files == (
        LabelledFile(tmp_path / "cam__a__1.png", "normal", "g1", "cam"),
        LabelledFile(tmp_path / "p1.png", "abnormal", "", ""),
    )


def test_labels_of_a_domain_with_sides_are_labels(tmp_path: Path) -> None:
    draw_folder(tmp_path, 1)
    (tmp_path / "labels.csv").write_text("file,label\np0.png,pet\np0.png,fall\n")
    assert not read_folder(tmp_path, HOME).by_side


def test_every_label_has_its_side() -> None:
    sides = sides_of(HOME)
    assert set(sides) == set(HOME.label_ids)
    assert sides["fall"] == sides["wild animal"] == "abnormal"
    assert sides["pet"] == sides["empty scene"] == "normal"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "labels.csv does not exist: name a folder"),
        ("", "has no column 'file'"),
        ("file,kind\np0.png,Burns\n", "has no column 'label'"),
        ("file,label\n", "lists no picture or clip: add a line"),
        ("file,label\np0.png,Frostbite\n", "line 2: 'Frostbite' is no label of the domain"),
        ("file,label\np0.png\n", "line 2: '' is no label of the domain"),
        ("file,label\np0.png,Burns\ngone.png,Cut\n", "line 3: there is no file 'gone.png'"),
        ("file,label\n,Cut\n", "there is no file ''"),
        (b"file,label\n\xff\xfe,Cut\n", "cannot be read as CSV in UTF-8"),
        ("file,label\np0.png,abnormal\n", "use one of Abrasions, .*, Stab Wound\\.$"),
        ("file,label\np0.png,Cut\np0.png,normal\n", "line 3: 'normal' is no label of the domain"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_sentence(
    tmp_path: Path, content: str | bytes | None, sentence: str
) -> None:
    draw_folder(tmp_path, 1)
    labels = tmp_path / "labels.csv"
    labels.unlink()
    if content is not None:
        labels.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(EvaluationError, match=sentence) as caught:
        read_folder(tmp_path, WOUND)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (("normal", "abnormal", "fall"), "line 4: 'fall' does not go with 'normal' in line 2"),
        (("pet", "abnormal"), "line 3: 'abnormal' does not go with 'pet' in line 2"),
        (("normal", "odd"), "line 3: 'odd' is no label .*, or throughout normal and abnormal"),
        (("Normal",), "line 2: 'Normal' is no label of the domain, use one of fall, "),
    ],
)
def test_sides_and_labels_do_not_mix(
    tmp_path: Path, labels: tuple[str, ...], sentence: str
) -> None:
    draw_folder(tmp_path, 1)
    lines = ["file,label", *(f"p0.png,{label}" for label in labels)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(EvaluationError, match=sentence):
        read_folder(tmp_path, HOME)
