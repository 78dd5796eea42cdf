"""The second language is complete, and what is stored knows no language."""

import re
import string

import pytest
from django.conf import settings
from django.template.base import Lexer, TokenType
from django.test import Client
from django.urls import reverse
from django.utils import translation

from scripts import words
from tests.factories import make_case, make_policy, make_site, make_user
from triage.choices import Role, SiteKind
from triage.models import AuditEvent, Case, Review
from triage.services import queue, reviews

TEMPLATES = sorted((settings.BASE_DIR / "templates").glob("*.html"))
# Names, keys and units that are the same in every language.
SAME = {"ALARM", "Triage", "Ctrl"}
# Classes of a page's body.
CLASSES = {"roomy", "wide", "calm", "narrow"}
HTML = re.compile(r"<!--.*?-->|<[^>]*>|&\w+;", re.DOTALL)
LANGUAGES = list(words.LANGUAGES)


def key_of(message: words.Message) -> str:
    return message if isinstance(message, str) else message[0]


def placeholders(text: str) -> list[str]:
    percent = re.findall(r"%\(\w+\)s|%%", text)
    try:
        braces = [f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(text) if name]
    except ValueError:
        braces = []
    return sorted(percent + braces)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_holds_exactly_the_texts_that_there_are(language: str) -> None:
    known = {one.id if isinstance(one.id, str) else tuple(one.id) for one in words.read(language)}
    assert known - {""} == words.messages()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_with_the_same_gaps(language: str) -> None:
    for one in words.read(language):
        if not one.id:
            continue
        assert not one.fuzzy, one.id
        sources = [one.id] if isinstance(one.id, str) else list(one.id)
        targets = [one.string] if isinstance(one.string, str) else list(one.string or ())
        assert targets
        assert all(target.strip() for target in targets), one.id
        for target in targets:
            assert placeholders(target) in [placeholders(source) for source in sources], one.id
        assert [text[:1] == " " for text in targets[:1]] == [sources[0][:1] == " "], one.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_was_compiled_is_what_is_written(language: str) -> None:
    path = words.catalogue_path(language).with_suffix(".mo")
    assert path.read_bytes() == words.compiled(language), "run python -m scripts.words"


def test_there_is_something_to_translate() -> None:
    found = words.messages()
    assert len(found) > 600
    assert "Not sure, ask someone else" in found, "of a template"
    assert "Somebody else has just taken this case." in found, "of a service"
    assert "somebody has fallen" in found, "of a domain"
    assert "passed on" in found, "of a history"
    assert any(isinstance(one, tuple) for one in found)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_says_a_word_that_is_not_translated(path: object) -> None:
    source = path.read_text()  # type: ignore[attr-defined]
    said, inside = [], False
    for token in Lexer(source).tokenize():
        if token.token_type == TokenType.BLOCK:
            name = token.contents.split()[0]
            begins, ends = ("blocktranslate", "comment"), ("endblocktranslate", "endcomment")
            inside = name in begins or (inside and name not in ends)
        elif token.token_type == TokenType.TEXT and not inside:
            said.append(token.contents)
        if token.token_type != TokenType.TEXT:
            said.append("-")
    plain = HTML.sub(" ", "".join(said))
    found = set(re.findall(r"[A-Za-z]{3,}", plain)) - SAME - CLASSES
    assert found == set()


@pytest.fixture
def clinic_case(db: None) -> Case:
    site = make_site("Klinik")
    make_user(site, Role.CLINICIAN, "fach")
    make_user(site, Role.ADMINISTRATOR, "verwaltung")
    make_policy(site)
    return make_case(site, ("Burns", "Burns", "Cut"))


def german(name: str) -> Client:
    client = Client(HTTP_ACCEPT_LANGUAGE="de")
    from django.contrib.auth import get_user_model

    client.force_login(get_user_model().objects.get(username=name))
    return client


def english_in(page: str) -> list[str]:
    """Texts of several words that a German page says in English."""
    said = re.sub(r"\s+", " ", HTML.sub("\n", page))
    long = [key_of(one) for one in words.messages()]
    return [one for one in long if one.count(" ") >= 2 and "%" not in one and one in said]


def test_a_germans_pages_are_german(clinic_case: Case) -> None:
    lease = queue.claim(case=clinic_case, user=clinic_case.site.memberships.first().user)  # type: ignore[union-attr]
    pages = {
        "fach": ["queue", "cases", "upload", "policies", "ensemble"],
        "verwaltung": ["policies", "ensemble", "audit", "retention", "cameras"],
    }
    for name, routes in pages.items():
        client = german(name)
        for address in [reverse(route) for route in routes]:
            html = client.get(address).content.decode()
            assert '<html lang="de">' in html
            assert english_in(html) == [], address
    html = german("fach").get(reverse("case", args=[clinic_case.pk])).content.decode()
    assert "Verbrennung" in html and english_in(html) == []
    queue.release(lease=lease)


def test_a_german_home_is_german(db: None) -> None:
    home = make_site("Haus", kind=SiteKind.HOUSEHOLD, domain="home")
    make_user(home, Role.CAREGIVER, "oma")
    case = make_case(home, ("fall", "fall", "pet"))
    client = german("oma")
    for address in (
        "/household/",
        f"/cases/{case.pk}/",
        "/household/asking/",
        "/household/privacy/",
    ):
        html = client.get(address).content.decode()
        assert english_in(html) == [], address
    assert "jemand ist gestürzt" in client.get(f"/cases/{case.pk}/").content.decode()


def test_a_mistake_is_told_in_ones_language(clinic_case: Case) -> None:
    client = german("fach")
    answer = client.post(reverse("release", args=[clinic_case.pk]), follow=True)
    assert "Sie halten diesen Fall nicht mehr." in answer.content.decode()


def test_the_language_is_chosen_and_kept(db: None) -> None:
    client = Client()
    assert '<html lang="en">' in client.get(reverse("sign-in")).content.decode()
    client.post(reverse("set-language"), {"language": "de", "next": reverse("sign-in")})
    assert '<html lang="de">' in client.get(reverse("sign-in")).content.decode()


def test_what_is_stored_knows_no_language(clinic_case: Case) -> None:
    person = clinic_case.site.memberships.get(user__username="fach").user
    with translation.override("de"):
        lease = queue.claim(case=clinic_case, user=person)
        clinic_case.refresh_from_db()
        reviews.submit_review(
            case=clinic_case,
            token=lease.token,
            user=person,
            label="Burns",
            version=clinic_case.version,
        )
    assert Review.objects.get().label == "Burns"
    stored = {event.verb for event in AuditEvent.objects.filter(case=clinic_case)}
    assert stored == {"decided", "resolved"}
