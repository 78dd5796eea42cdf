"""Who reads and writes which field, exactly: a field that is in no table here fails.

`fields.txt` holds what goes over the API, a line a call: who may, what is read, what is written.
Where one call tells different roles different things, the tables below say what.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

from inference.pipeline.domains import load_domain
from tests.factories import make_camera, make_case, make_policy, make_user
from tests.triage.conftest import Cast
from tests.triage.test_access import ABOUT_A_CASE, ROUTES, url_of
from triage.api import urls
from triage.choices import SHUT_OUT, GlassReason, RetakeReason, Role
from triage.models import Case, Policy, Subject
from triage.permissions import MAY
from triage.selectors.cases import CasePage, case_page
from triage.services import erasing, queue, reviews
from triage.services.glass import break_glass

TABLE = Path(__file__).parent / "fields.txt"
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
NO_BODY = "-"
LABELS = ("Burns", "Cut", "Cut")
# A device's own acts, which persons do by another name.
SAME_AS = {"own_receipt": "upload"}


# What goes over the API -------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """One call: `reads` and `writes` are its fields, those of parts with dots."""

    name: str
    who: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def operations() -> Iterator[Operation]:
    """All of the API, as its schema tells them."""
    generator: Any = SchemaGenerator
    schema = generator(patterns=urls.urlpatterns).get_schema(public=True)
    for entry in urls.urlpatterns:
        view: Any = entry.callback
        said = schema["paths"]["/" + _path(str(entry.pattern))]
        for method in METHODS:
            if act := view.view_class.acts.get(method):
                call = said[method.lower()]
                yield Operation(
                    f"{method} {entry.name}",
                    tuple(sorted(MAY[SAME_AS.get(act, act)])),
                    tuple(sorted(_reads(call, schema))),
                    tuple(sorted(_writes(call, schema))),
                )


def told(one: Operation) -> str:
    words = (", ".join(part) or NO_BODY for part in (one.who, one.reads, one.writes))
    return " | ".join((one.name, *words))


def _path(pattern: str) -> str:
    """As the schema writes it: without the converters."""
    parts = [part.split(":")[-1].rstrip(">") for part in pattern.split("/")]
    kept = pattern.split("/")
    return "/".join(
        "{" + ("id" if name == "pk" else name) + "}" if "<" in one else one
        for one, name in zip(kept, parts, strict=True)
    )


def _reads(call: Any, schema: Any) -> set[str]:
    found: set[str] = set()
    for code, answer in call["responses"].items():
        if code.startswith("2"):
            for content in answer.get("content", {}).values():
                found |= set(_flat(content["schema"], schema))
    return found


def _writes(call: Any, schema: Any) -> set[str]:
    asked = {f"?{one['name']}" for one in call.get("parameters", []) if one["in"] == "query"}
    for content in call.get("requestBody", {}).get("content", {}).values():
        asked |= set(_flat(content["schema"], schema))
    return asked


def _flat(node: Any, schema: Any, before: str = "") -> Iterator[str]:
    """The names of all fields below a part of the schema; of what is free, its own alone."""
    if "$ref" in node:
        node = schema["components"]["schemas"][node["$ref"].rsplit("/", 1)[-1]]
    parts = [*node.get("allOf", ()), *node.get("oneOf", ())]
    parts += [node[key] for key in ("items", "additionalProperties") if _inside(node.get(key))]
    below = [name for part in parts for name in _flat(part, schema, before)]
    for name, child in node.get("properties", {}).items():
        below += _flat(child, schema, f"{before}.{name}" if before else name)
    yield from below or ([before] if before else [])


def _inside(part: Any) -> bool:
    return isinstance(part, dict) and bool(part)


def test_every_field_of_the_api_is_in_the_table() -> None:
    written = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    found = [told(one) for one in operations()]
    assert sorted(found) == sorted(written), "say who may read and write it, in fields.txt"


def test_the_table_knows_what_it_should() -> None:
    """Against a walk that finds nothing."""
    by_name = {one.name: one for one in operations()}
    case = by_name["GET api-case"]
    assert {"hypotheses.reasoning", "decision.score", "subject", "label"} <= set(case.reads)
    assert by_name["POST api-reviews"].writes == ("comment", "label", "token", "version")
    assert by_name["GET api-people"].who == (Role.ADMINISTRATOR,)
    assert "?status" in by_name["GET api-export"].writes
    assert SHUT_OUT not in case.who


@pytest.mark.django_db
def test_no_serializer_takes_more_than_its_fields(cast: Cast) -> None:
    """What is in no table is not written, whoever sends it."""
    client = Client()
    client.force_login(cast.administrator)
    said = {"by_team": True, "two_person_rule": False, "name": "Mine"}
    assert client.patch(reverse("api-care-teams"), said, "application/json").status_code == 200
    cast.clinic.refresh_from_db()
    assert (cast.clinic.by_team, cast.clinic.two_person_rule) == (True, True)
    assert cast.clinic.name == "Clinic"


# What one call or page tells whom ---------------------------------------------------------------

ALL = frozenset({"clinician", "caregiver", "glass"})
CLINICIAN, CAREGIVER = frozenset({"clinician"}), frozenset({"caregiver"})
READERS = CLINICIAN | CAREGIVER
NOBODY: frozenset[str] = frozenset()
# field of the case's API -> who finds something in it, of a deferred case with all answers in;
# `glass` is an administrator who broke it.
CASE_API = {
    "id": ALL,
    "domain": ALL,
    "subject": ALL,
    "status": ALL,
    "version": ALL,
    "labels": ALL,
    "hypotheses": ALL,
    "hypotheses.label": ALL,
    "hypotheses.share": ALL,
    "hypotheses.members": CLINICIAN,
    "hypotheses.reasoning": CLINICIAN,
    "level": CLINICIAN,
    "sentence": CLINICIAN,
    "scores": CLINICIAN,
    "decision": CLINICIAN,
    "decision.outcome": CLINICIAN,
    "decision.label": CLINICIAN,
    "decision.method": CLINICIAN,
    "decision.score": CLINICIAN,
    "decision.threshold": CLINICIAN,
    "decision.policy": CLINICIAN,
    "decision.reasons": CLINICIAN,
    "decision.label_probability": CLINICIAN,
    "blind": NOBODY,
    "duration_s": NOBODY,
    "label": NOBODY,  # nobody has answered
}
# field of the case's page -> the same
CASE_PAGE = {
    "case": ALL,
    "domain": ALL,
    "run": ALL,
    "finished": ALL,
    "hypotheses": ALL,
    "labels": ALL,
    "plain": ALL,
    "history": ALL,
    "width": ALL,
    "height": ALL,
    "level": CLINICIAN,
    "members": CLINICIAN,
    "stages": CLINICIAN,
    "sentence": CLINICIAN,
    "scores": CLINICIAN,
    "decision": CLINICIAN,
    "policy": CLINICIAN,
    "reasons": CLINICIAN,
    "error_probability": CLINICIAN,
    "can_claim": READERS,
    "question": CAREGIVER,
    **dict.fromkeys(
        (
            "drawn",
            "blind",
            "lease",
            "held_by",
            "can_review",
            "can_undo",
            "clip",
            "duration",
            "frames",
            "earlier",
            "alike",
            "draft",
            "readings",
            "handovers",
            "disputed",
            "read",
            "retake",
            "colleagues",
            "erasure",
            "why_erased",
        ),
        NOBODY,
    ),
}


@pytest.fixture
def seen(cast: Cast) -> dict[str, tuple[Any, Case]]:
    """Each reader with a deferred case that they may look into."""
    found = {}
    for site, name, user in (
        (cast.clinic, "clinician", cast.clinician),
        (cast.household, "caregiver", cast.caregiver),
        (cast.clinic, "glass", cast.administrator),
    ):
        if not site.policies.exists():
            make_policy(site, threshold=0.001)
        one, other = load_domain(site.domain).label_ids[:2]
        case = make_case(site, (one, other, other))
        subject = Subject.objects.create(site=site, pseudonym=f"subject of {name}")
        Case.objects.filter(pk=case.pk).update(subject=subject)
        found[name] = (user, case)
    user, case = found["glass"]
    break_glass(case=case, user=user, reason=GlassReason.QUESTION, words="she asks what we keep")
    return found


@pytest.mark.django_db
def test_each_role_gets_its_fields_of_a_case_over_the_api(
    seen: dict[str, tuple[Any, Case]],
) -> None:
    filled: dict[str, set[str]] = {}
    for name, (user, case) in seen.items():
        client = Client()
        client.force_login(user)
        answer = client.get(reverse("api-case", args=[case.pk])).json()
        for field, value in _leaves(answer):
            filled.setdefault(field, set())
            if _says(value):
                filled[field].add(name)
    assert {field: set(who) for field, who in CASE_API.items()} == filled


@pytest.mark.django_db
def test_each_role_gets_its_fields_on_the_page_of_a_case(
    seen: dict[str, tuple[Any, Case]],
) -> None:
    roles = {"clinician": "clinician", "caregiver": "caregiver", "glass": "administrator"}
    filled: dict[str, set[str]] = {field.name: set() for field in fields(CasePage)}
    for name, (user, case) in seen.items():
        case.refresh_from_db()
        page = case_page(case=case, user=user, roles=frozenset({roles[name]}))
        for field in filled:
            if _says(getattr(page, field)):
                filled[field].add(name)
    assert {field: set(who) for field, who in CASE_PAGE.items()} == filled


def _says(value: object) -> bool:
    if isinstance(value, tuple):  # a level of each stage
        return any(one.level != "unknown" for one in value)
    return value not in (None, "", [], (), {}, False, 0, "unknown")


def _leaves(node: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a case's answer, and one step into those that have parts."""
    for name, value in node.items():
        yield f"{before}{name}", value
        if not before and name in ("hypotheses", "decision"):
            for one in value if isinstance(value, list) else [value or {}]:
                yield from _leaves(one, f"{name}.")


# What an auditor and the record hold -------------------------------------------------------------

NEVER_IN_A_RECORD = ("subject", "pseudonym", "camera", "comment", "photo", "words")


def test_an_auditor_reads_no_picture_and_nobodys_name_for_whom_it_shows() -> None:
    by_name = {one.name: one for one in operations()}
    record = by_name["GET api-audit-case"]
    assert record.who == (Role.AUDITOR,)
    parts = {part for field in record.reads for part in field.split(".")}
    assert not parts & set(NEVER_IN_A_RECORD)
    # Wherever an auditor may read at all, no subject is told of.
    for one in by_name.values():
        if Role.AUDITOR in one.who:
            assert not {"subject", "pseudonym"} & {field.split(".")[-1] for field in one.reads}


# Where everything that may be empty is filled ----------------------------------------------------

# what somebody wrote, or is called -> who finds it in anything that they may ask for at the clinic;
# `glass` is an administrator who broke it of every case, `shut` one who broke none.
STAFF_READERS = frozenset({"clinician", "colleague"})
GOVERNING = frozenset({"shut", "glass"})
EVERYBODY = STAFF_READERS | GOVERNING | {"auditor"}
WRITTEN = {
    "SUBJECT": STAFF_READERS | {"glass"},
    "COMMENT": STAFF_READERS,
    "HANDOVER": frozenset({"clinician"}),  # who holds it now
    "HINT": STAFF_READERS,
    "DRAFT": frozenset({"clinician"}),
    "DESCRIBED": STAFF_READERS | {"auditor"},
    "SENDER": EVERYBODY,  # a camera learns, and is listed; which case is its own no auditor reads
    "GLASS": GOVERNING,
    "HOLD": GOVERNING | {"auditor"},
    "ERASED": EVERYBODY,
}


@dataclass(frozen=True)
class Filled:
    """A clinic with cases in every state, each with all that people may write about it."""

    people: dict[str, User]
    cases: dict[str, Case]
    policy: Policy


def answered(case: Case, user: User, label: str, comment: str = "COMMENT") -> None:
    lease = queue.claim(case=case, user=user)
    case.refresh_from_db()
    reviews.submit_review(
        case=case,
        token=lease.token,
        user=user,
        label=label,
        version=case.version,
        comment=comment,
    )
    case.refresh_from_db()


@pytest.fixture
def filled(cast: Cast) -> Filled:
    clinic, policy = cast.clinic, make_policy(cast.clinic, threshold=0.001)
    subject = Subject.objects.create(site=clinic, pseudonym="SUBJECT")
    camera = make_camera(clinic, "SENDER")
    cases = {}
    for name in ("settled", "disputed", "retaken", "erased", "held"):
        case = make_case(clinic, LABELS, described="DESCRIBED", camera=camera)
        Case.objects.filter(pk=case.pk).update(subject=subject, readings=2 if "ed" in name else 1)
        case.refresh_from_db()
        case.site = clinic
        cases[name] = case
    third = make_user(clinic)
    for name in ("settled", "disputed"):
        answered(cases[name], cast.clinician, "Cut")
        answered(cases[name], cast.colleague, "Burns")
    answered(cases["settled"], third, "Cut")
    answered(cases["erased"], cast.clinician, "Cut")
    answered(cases["erased"], cast.colleague, "Cut")
    lease = queue.claim(case=cases["retaken"], user=cast.colleague)
    cases["retaken"].refresh_from_db()
    reviews.ask_again(
        case=cases["retaken"],
        token=lease.token,
        user=cast.colleague,
        reason=RetakeReason.DARK,
        version=cases["retaken"].version,
        comment="HINT",
    )
    lease = queue.claim(case=cases["held"], user=cast.colleague)
    queue.pass_on(lease=lease, comment="HANDOVER")
    queue.claim(case=cases["held"], user=cast.clinician)
    reviews.keep_draft(case=cases["held"], user=cast.clinician, label="Cut", comment="DRAFT")
    boss = make_user(clinic, Role.ADMINISTRATOR)
    for case in cases.values():
        broken = "GLASS, for she asks what we keep"
        break_glass(case=case, user=boss, reason=GlassReason.QUESTION, words=broken)
    erasing.erase_case(case=cases["erased"], actor=boss, reason="ERASED")
    erasing.hold(target=cases["settled"], actor=boss, reason="HOLD")
    people = {
        "clinician": cast.clinician,
        "colleague": cast.colleague,
        "shut": cast.administrator,
        "glass": boss,
        "auditor": cast.auditor,
    }
    return Filled(people, cases, policy)


def gets(route: str) -> bool:
    """Whether the route is asked by GET: those of the API by their acts, pages by the matrix."""
    for entry in urls.urlpatterns:
        if entry.name == route:
            view: Any = entry.callback
            return "GET" in view.view_class.acts
    return ROUTES[route][0] == "get"


def asked(user: User, world: Filled) -> Iterator[tuple[str, HttpResponse]]:
    """All that somebody gets who asks for everything; what is refused is left out."""
    client = Client(raise_request_exception=False)
    client.force_login(user)
    for route in filter(gets, ROUTES):
        cases = world.cases.values() if route in ABOUT_A_CASE else [world.cases["settled"]]
        for case in cases:
            answer: Any = client.get(url_of(route, case, world.policy))
            if answer.status_code == 200:
                yield route, answer


def text_of(answer: Any) -> str:
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode(
        errors="replace"
    )


@pytest.mark.django_db
def test_what_somebody_wrote_is_found_by_those_whose_it_is(filled: Filled) -> None:
    found: dict[str, set[str]] = {word: set() for word in WRITTEN}
    for name, user in filled.people.items():
        told = "\n".join(text_of(answer) for _route, answer in asked(user, filled))
        for word in WRITTEN:
            if re.search(rf"\b{word}\b", told):
                found[word].add(name)
    assert found == {word: set(who) for word, who in WRITTEN.items()}


@pytest.mark.django_db
def test_no_call_answers_with_a_field_that_is_not_in_the_table(filled: Filled) -> None:
    """A schema may promise less than a view gives, and an empty object tells nothing of it."""
    table = {one.name: set(one.reads) for one in operations()}
    beyond, asked_for = set(), set()
    for user in filled.people.values():
        for route, answer in asked(user, filled):
            if answer.headers["Content-Type"] == "application/json" and route.startswith("api-"):
                name = f"GET {route}"
                asked_for.add(name)
                beyond |= {
                    f"{name}: {field}"
                    for field in names_in(answer.json())  # type: ignore[attr-defined]
                    if not within(field, table[name])
                }
    assert beyond == set()
    assert len(asked_for) >= 25


def names_in(node: Any, before: str = "") -> set[str]:
    """The dotted names of all that is in an answer."""
    if isinstance(node, list):
        return {name for one in node for name in names_in(one, before)}
    if not isinstance(node, dict) or not node:
        return {before} if before else set()
    return {
        name
        for key, child in node.items()
        for name in names_in(child, f"{before}.{key}" if before else key)
    }


def within(field: str, known: set[str]) -> bool:
    """Whether the table has the field, what it is part of, or parts of it where it is empty."""
    parts = field.split(".")
    above = {".".join(parts[: n + 1]) for n in range(len(parts))}
    return bool(above & known) or any(one.startswith(f"{field}.") for one in known)
