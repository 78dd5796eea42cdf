"""A labelled folder: labels.csv with the columns file and label, photos beside it or in images/."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LABELS_FILE = "labels.csv"


class EvaluationError(ValueError):
    """The evaluation cannot be made; the message says in one sentence what to do."""


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo on disk and what it truly shows."""

    path: Path
    label: str


def read_folder(folder: Path, label_ids: Sequence[str]) -> tuple[LabelledPhoto, ...]:
    """The labelled photos of `folder`, in the order of labels.csv; other columns are ignored.

    Raises EvaluationError when there is nothing to judge, or a label or photo does not exist.
    """
    path = folder / LABELS_FILE
    if not path.is_file():
        raise EvaluationError(f"{path} does not exist: name a folder that holds {LABELS_FILE}.")
    rows = _rows(path)
    if not rows:
        raise EvaluationError(f"{path} lists no photo: add a line for each, with file and label.")
    return tuple(_photo(path, line, row, label_ids) for line, row in rows)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and content of each row that is not blank."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", skipinitialspace=True)
            missing = [name for name in ("file", "label") if name not in (reader.fieldnames or ())]
            rows = [] if missing else [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read as CSV in UTF-8: {error}.") from error
    if missing:
        raise EvaluationError(f"{path} has no column {missing[0]!r}: name it in the first line.")
    return rows


def _photo(path: Path, line: int, row: dict[str, str], label_ids: Sequence[str]) -> LabelledPhoto:
    name, label = row["file"].strip(), row["label"].strip()
    if label not in label_ids:
        raise EvaluationError(
            f"{path}, line {line}: {label!r} is no label of the domain, use one of "
            f"{', '.join(label_ids)}."
        )
    for candidate in (path.parent / name, path.parent / "images" / name):
        if name and candidate.is_file():
            return LabelledPhoto(candidate, label)
    raise EvaluationError(
        f"{path}, line {line}: there is no photo {name!r} beside it or in images/, add it or "
        "remove the line."
    )
