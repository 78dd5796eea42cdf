"""The domains' data files: what ships, and what is refused."""

import json
from pathlib import Path

import pytest

from inference.pipeline.domains import DomainError, domain_ids, load_domain, read_domain

GOOD = """
version = "1"
title = "Weather"
question = "What is the weather?"
prompt = "Choose one of $labels."
reflection = "Rules: $rules Answer: $answer"

[[labels]]
id = "rain"
title = "Rain"
normal = false
severity = 3
plain = "rain"
rule = "drops fall."

[[labels]]
id = "sun"
title = "Sun"
normal = true
severity = 1
plain = "sun"
rule = "the sky is blue."
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "weather.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_wound_labels_are_those_of_the_data() -> None:
    domain = load_domain("wound")
    assert domain.label_ids == (
        "Abrasions",
        "Bruises",
        "Burns",
        "Cut",
        "Ingrown Nails",
        "Laceration",
        "Stab Wound",
    )
    assert not any(label.normal for label in domain.labels)


def test_home_marks_what_is_normal() -> None:
    labels = load_domain("home").labels
    assert {label.id for label in labels if label.normal} == {"person", "pet", "empty scene"}
    assert {label.id for label in labels if not label.normal} == {
        "fall",
        "fire or smoke",
        "wild animal",
        "fight or crime",
    }
    assert all(label.severity == 1 for label in labels if label.normal)


def test_every_shipped_domain_loads_with_a_rule_a_label() -> None:
    assert domain_ids() == ("anomaly", "home", "wound")
    for domain_id in domain_ids():
        domain = load_domain(domain_id)
        assert domain.id == domain_id
        assert tuple(domain.rules) == domain.label_ids
        assert all(rule.count(".") == 1 and rule.endswith(".") for rule in domain.rules.values())
        assert domain.question.endswith("?")


@pytest.mark.parametrize("unknown", ["", "no such", "../wound", "wound.toml", "WOUND"])
def test_an_unknown_domain_is_named_with_the_known_ones(unknown: str) -> None:
    with pytest.raises(DomainError, match="home, wound") as caught:
        load_domain(unknown)
    assert repr(unknown) in str(caught.value)


def test_a_file_is_read_whole(folder: Path) -> None:
    domain = read_domain(written(folder, GOOD))
    assert (domain.id, domain.version, domain.label_ids) == ("weather", "1", ("rain", "sun"))
    assert domain.labels[0].severity == 3
    assert domain.rules["sun"] == "the sky is blue."


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('version = "1"', "", "version: Field required"),
        ('version = "1"', "version = 1", "version"),
        ('rule = "drops fall."', "", "labels.0.rule: Field required"),
        ('rule = "drops fall."', 'rule = " "', "labels.0.rule"),
        ("severity = 3", "severity = 4", "labels.0.severity"),
        ("severity = 3", "severity = 0", "labels.0.severity"),
        ("severity = 3", 'severity = "3"', "labels.0.severity"),
        ("normal = true", 'normal = "yes"', "labels.1.normal"),
        ('id = "sun"', 'id = "Rain"', "duplicate labels: rain"),
        ("$labels", "labels", r"prompt must hold \$labels"),
        ("$labels", "$labels for $ 5", r"prompt must hold \$labels"),
        ("$rules", "$labels", r"reflection must hold \$answer and \$rules"),
        ('title = "Weather"', 'title = "Weather"\ntypo = 1', "typo"),
        ('title = "Weather"', "title = ", "weather.toml"),
    ],
)
def test_a_wrong_file_is_refused_in_words(folder: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(DomainError, match=words) as caught:
        read_domain(written(folder, GOOD.replace(old, new, 1)))
    assert "weather.toml" in str(caught.value)


def test_a_domain_with_one_label_is_refused(folder: Path) -> None:
    with pytest.raises(DomainError, match="labels"):
        read_domain(written(folder, GOOD[: GOOD.index('[[labels]]\nid = "sun"')]))


def test_a_missing_file_and_wrong_bytes_are_refused(folder: Path) -> None:
    with pytest.raises(DomainError, match=r"gone\.toml"):
        read_domain(folder / "gone.toml")
    (folder / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DomainError, match=r"bytes\.toml"):
        read_domain(folder / "bytes.toml")


def test_the_digest_follows_the_content_and_not_the_comments(folder: Path) -> None:
    digest = read_domain(written(folder, GOOD)).digest
    assert len(digest) == 64
    assert read_domain(written(folder, f"# a comment\n{GOOD}")).digest == digest
    for old, new in [("drops fall", "drops rise"), ("severity = 3", "severity = 2")]:
        assert read_domain(written(folder, GOOD.replace(old, new))).digest != digest


def test_a_domain_can_be_a_key_and_its_files_hold_no_odd_characters() -> None:
    for domain_id in domain_ids():
        domain = load_domain(domain_id)
        assert {domain: 1}[load_domain(domain_id)] == 1
        assert json.dumps(domain.prompt + domain.reflection).isascii()
