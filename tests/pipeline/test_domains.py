"""The domains' data files: what ships, and what is refused."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pipeline.domains import (
    DomainError,
    content_of,
    domain_from,
    domain_ids,
    load_domain,
    read_domain,
)
from inference.pipeline.prompts import answer_prompt, answer_schema

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


# Definitions that people write -------------------------------------------------------------------

GOOD_CONTENT = tomllib.loads(GOOD)
lines = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters=',"$'), min_size=1, max_size=60
)
labels: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "id": lines,
        "title": lines,
        "normal": st.booleans(),
        "severity": st.integers(1, 3),
        "plain": lines,
        "rule": lines,
    }
)
several = st.lists(labels, min_size=2, max_size=6, unique_by=lambda one: one["id"].casefold())
definitions = st.fixed_dictionaries(
    {
        "version": lines,
        "title": lines,
        "question": lines,
        "prompt": lines.map(lambda text: f"{text}\n$labels"),
        "reflection": lines.map(lambda text: f"$rules {text}\n\n${{answer}}"),
        "labels": several,
    }
)


@given(definitions)
def test_a_definition_survives_being_stored_and_read(content: dict[str, Any]) -> None:
    domain = domain_from("weather", content)
    stored = json.loads(json.dumps(content_of(domain)))
    assert stored == content
    assert domain_from("weather", stored) == domain
    assert domain_from("weather", stored).digest == domain.digest
    schema: Any = answer_schema(domain)
    assert schema["properties"]["label"]["enum"] == list(domain.label_ids)
    assert all(one in answer_prompt(domain) for one in domain.label_ids)


def test_files_and_rows_are_one() -> None:
    for domain_id in domain_ids():
        domain = load_domain(domain_id)
        assert domain_from(domain_id, content_of(domain)) == domain


def faults(**changed: Any) -> dict[str, str]:
    with pytest.raises(DomainError) as caught:
        domain_from("weather", GOOD_CONTENT | changed)
    return {one.field: one.code for one in caught.value.faults}


def changed_label(**changed: Any) -> list[dict[str, Any]]:
    first, second = GOOD_CONTENT["labels"]
    return [first, second | changed]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"labels": []}, {"labels": "few_labels"}),
        ({"labels": changed_label()[:1]}, {"labels": "few_labels"}),
        ({"labels": changed_label() * 30}, {"labels": "many_labels"}),
        ({"labels": changed_label(id="RAIN")}, {"labels.1.id": "duplicate"}),
        ({"labels": changed_label(id="a, b")}, {"labels.1.id": "marks"}),
        ({"labels": changed_label(id="x" * 81)}, {"labels.1.id": "long"}),
        ({"labels": changed_label(plain="\0")}, {"labels.1.plain": "unprintable"}),
        ({"labels": changed_label(title="a\u202eb")}, {"labels.1.title": "unprintable"}),
        ({"labels": changed_label(rule="a\nb")}, {"labels.1.rule": "unprintable"}),
        ({"labels": changed_label(severity=True)}, {"labels.1.severity": "kind"}),
        ({"labels": changed_label(severity=9)}, {"labels.1.severity": "severity"}),
        ({"labels": "rain, sun"}, {"labels": "kind"}),
        ({"prompt": "$labels" + "x" * 5000}, {"prompt": "long"}),
        ({"prompt": "$labels \0"}, {"prompt": "unprintable"}),
        ({"prompt": "$labels $secret"}, {"prompt": "placeholders"}),
        ({"prompt": "$labels ${labels.__class__}"}, {"prompt": "placeholders"}),
        ({"reflection": "$rules"}, {"reflection": "placeholders"}),
        ({"title": " "}, {"title": "empty"}),
        ({"question": None}, {"question": "kind"}),
        ({"title": "", "prompt": ""}, {"title": "empty", "prompt": "empty"}),
        ({"extra": 1}, {"extra": "kind"}),
    ],
)
def test_a_hostile_definition_is_refused_field_by_field(
    changed: dict[str, Any], expected: dict[str, str]
) -> None:
    assert faults(**changed) == expected


def test_html_is_a_text_like_any_other() -> None:
    script = "<script>alert(1)</script>"
    domain = domain_from("weather", GOOD_CONTENT | {"labels": changed_label(id=script)})
    assert script in domain.label_ids
