"""A labelled folder: labels.csv with the columns file and label, files beside it or in images/."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.pipeline.domains import Domain

LABELS_FILE = "labels.csv"
NORMAL, ABNORMAL = SIDES = ("normal", "abnormal")
SOURCE_ENDS = "__"


class EvaluationError(ValueError):
    """The evaluation cannot be made; the message says in one sentence what to do."""


@dataclass(frozen=True)
class LabelledFile:
    """A picture or clip on disk and what it truly shows: a label of the domain, or a side.

    `group` names what was not taken independently of it (same room, same video), `source` where it
    is from: the part of its name before "__"; each is "" where that is not known.
    """

    path: Path
    label: str
    group: str = ""
    source: str = ""


@dataclass(frozen=True)
class LabelledFolder:
    """The files in the order of labels.csv; `by_side`: their labels are all normal or abnormal."""

    files: tuple[LabelledFile, ...]
    by_side: bool


@dataclass(frozen=True)
class LabelSet:
    """What a report is about: its title, the label ids, and each one's side if there are two."""

    title: str
    ids: tuple[str, ...]
    sides: Mapping[str, str]


def label_set_of(domain: Domain) -> LabelSet:
    """The labels of a domain."""
    return LabelSet(domain.title, domain.label_ids, sides_of(domain))


def sides_of(domain: Domain) -> dict[str, str]:
    """The side, normal or abnormal, of each label id of the domain."""
    return {label.id: NORMAL if label.normal else ABNORMAL for label in domain.labels}


def read_folder(folder: Path, domain: Domain) -> LabelledFolder:
    """The labelled files of `folder`; columns other than file, label and group are ignored.

    The labels are those of the domain, or throughout normal and abnormal, where it tells these two
    apart. Raises EvaluationError when there is nothing to judge, the labels are none of these or
    mixed, or a file does not exist.
    """
    path = folder / LABELS_FILE
    if not path.is_file():
        raise EvaluationError(f"{path} does not exist: name a folder that holds {LABELS_FILE}.")
    rows = _rows(path)
    if not rows:
        raise EvaluationError(
            f"{path} lists no picture or clip: add a line for each, with file and label."
        )
    sides = SIDES if set(sides_of(domain).values()) == set(SIDES) else ()
    by_side = _labels_are_sides(path, rows, domain.label_ids, sides)
    return LabelledFolder(tuple(_file(path, line, row) for line, row in rows), by_side)


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


def _labels_are_sides(
    path: Path,
    rows: Sequence[tuple[int, dict[str, str]]],
    label_ids: Sequence[str],
    sides: Sequence[str],
) -> bool:
    """Whether the first row, and so every other, holds a side and no label of the domain."""
    first_line, first = rows[0][0], rows[0][1]["label"].strip()
    expected, other = (label_ids, sides) if first in label_ids else (sides, label_ids)
    for line, row in rows:
        label = row["label"].strip()
        if label in expected:
            continue
        if label in other:
            raise EvaluationError(
                f"{path}, line {line}: {label!r} does not go with {first!r} in line {first_line}, "
                "use labels of the domain or normal and abnormal, not both."
            )
        offered = ", ".join(label_ids) + (f", or throughout {' and '.join(sides)}" if sides else "")
        raise EvaluationError(
            f"{path}, line {line}: {label!r} is no label of the domain, use one of {offered}."
        )
    return expected is sides


def _file(path: Path, line: int, row: dict[str, str]) -> LabelledFile:
    name, label = row["file"].strip(), row["label"].strip()
    for candidate in (path.parent / name, path.parent / "images" / name):
        if name and candidate.is_file():
            group = row.get("group", "").strip()
            return LabelledFile(candidate, label, group, _source(candidate))
    raise EvaluationError(
        f"{path}, line {line}: there is no file {name!r} beside it or in images/, add it or "
        "remove the line."
    )


def _source(path: Path) -> str:
    source, mark, _ = path.name.partition(SOURCE_ENDS)
    return source if mark else ""
