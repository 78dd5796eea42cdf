from pathlib import Path

import pytest

from inference.evaluation.folder import EvaluationError, read_folder
from tests.evaluation.drawn import LABELS, draw_folder


@pytest.mark.parametrize("below", ["images", "."])
def test_photos_are_found_beside_the_labels_and_in_images(tmp_path: Path, below: str) -> None:
    photos = read_folder(draw_folder(tmp_path, 4, below=below), LABELS)
    assert [photo.label for photo in photos] == ["Burns", "Cut", "Bruises", "Burns"]
    assert [photo.path for photo in photos] == [
        tmp_path / below / f"p{index}.png" for index in range(4)
    ]


def test_a_byte_order_mark_blanks_and_spaces_do_no_harm(tmp_path: Path) -> None:
    draw_folder(tmp_path, 1)
    (tmp_path / "labels.csv").write_bytes("\ufefffile,label\r\np0.png, Burns \r\n\r\n".encode())
    [photo] = read_folder(tmp_path, LABELS)
    assert photo.label == "Burns"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "labels.csv does not exist: name a folder"),
        ("", "has no column 'file'"),
        ("file,kind\np0.png,Burns\n", "has no column 'label'"),
        ("file,label\n", "lists no photo: add a line"),
        ("file,label\np0.png,Frostbite\n", "line 2: 'Frostbite' is no label of the domain"),
        ("file,label\np0.png\n", "line 2: '' is no label of the domain"),
        ("file,label\np0.png,Burns\ngone.png,Cut\n", "line 3: there is no photo 'gone.png'"),
        ("file,label\n,Cut\n", "there is no photo ''"),
        (b"file,label\n\xff\xfe,Cut\n", "cannot be read as CSV in UTF-8"),
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
        read_folder(tmp_path, LABELS)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
