"""The API about domains: the same acts as on the pages, with the same words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from rest_framework.test import APIClient

from inference.models import MemberJob
from inference.pipeline.domains import content_of, load_domain
from inference.services.work import execute_job
from tests.factories import make_case, make_user, vector
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, Role
from triage.models import Case, DomainVersion, Membership, Site
from triage.selectors.words import domain_at
from triage.services.tokens import issue_token

pytestmark = pytest.mark.django_db
LEAK = {"id": "leak", "title": "Leak", "plain": "a leak", "normal": False, "severity": 3}
SOUND = {"id": "sound", "title": "Sound", "plain": "all well", "normal": True, "severity": 1}
EQUIPMENT = {
    "name": "equipment",
    "title": "Equipment",
    "question": "Is the machine all right?",
    "prompt": "Look at this machine. Choose one of $labels.",
    "reflection": "Check $answer by $rules",
    "labels": [LEAK | {"rule": "something drips."}, SOUND | {"rule": "it is dry."}],
    "note": "a third one",
}


@pytest.fixture(autouse=True)
def members(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "members.toml"
    lines = "\n".join(f'{name} = {{ backend = "scripted", domains = ["*"] }}' for name in "ab")
    path.write_text(f"[members]\n{lines}\n")
    settings.ALARM_MEMBERS = path
    settings.MEDIA_ROOT = tmp_path / "media"
    monkeypatch.setattr("inference.dispatch.send", lambda _jobs: None)
    monkeypatch.setattr(
        "inference.services.work.embed", lambda texts: np.array([vector(one) for one in texts])
    )


@pytest.fixture
def second(cast: Cast) -> User:
    return make_user(cast.clinic, Role.ADMINISTRATOR, "second")


def api(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def test_a_third_domain_from_its_definition_to_a_reviewed_photo(cast: Cast, second: User) -> None:
    mine, other = api(cast.administrator), api(second)
    written = mine.post(reverse("api-domains"), EQUIPMENT, format="json")
    assert written.status_code == 201, written.data
    assert (written.data["name"], written.data["version"]) == ("equipment", 1)
    listed = {row["name"]: row for row in mine.get(reverse("api-domains")).data}
    assert listed["equipment"]["versions"] == [1] and not listed["equipment"]["here"]
    assert listed["wound"]["versions"] == [0] and listed["wound"]["here"]
    wanted: dict[str, Any] = {"name": "Boilers", "kind": "clinic", "domain": "equipment"}
    wanted["version"] = 1
    wanted["people"] = ["clinician", "outsider", "nobody"]
    assert mine.post(reverse("api-sites"), wanted, format="json").status_code == 403
    assert other.post(reverse("api-sites"), wanted, format="json").status_code == 201
    site = Site.objects.get(name="Boilers")
    assert set(site.memberships.values_list("user__username", "role")) == {
        ("second", "administrator"),
        ("clinician", "clinician"),
    }
    token = issue_token(site=site, name="boiler camera")
    camera = APIClient(headers={"Authorization": f"Bearer {token}"})
    sent = camera.post(reverse("api-observations"), {"file": _file()}, format="multipart")
    assert sent.status_code == 201, sent.data
    for job in MemberJob.objects.all():
        execute_job(job_id=job.pk)
    case = Case.objects.get(pk=sent.data["case"])
    assert case.status == CaseStatus.DEFERRED
    reviewer = make_user(site, Role.CLINICIAN, "engineer")
    engineer = api(reviewer)
    held = engineer.post(reverse("api-claim-next")).data
    detail = engineer.get(reverse("api-case", args=[case.pk])).data
    assert sorted(detail["labels"]) == ["leak", "sound"]
    answer = {"token": held["token"], "version": held["version"], "label": "leak"}
    done = engineer.post(reverse("api-reviews", args=[case.pk]), answer, format="json")
    assert done.status_code == 201, done.data


def _file() -> Any:
    return SimpleUploadedFile("a.jpg", photo(), "image/jpeg")


def test_a_version_is_written_read_tried_and_published(cast: Cast, second: User) -> None:
    mine, other = api(cast.administrator), api(second)
    content = content_of(load_domain("wound"))
    content.pop("version")
    versions = reverse("api-versions", args=["wound"])
    same = mine.post(versions, content, format="json")
    assert (same.status_code, same.data["code"]) == (422, "same")
    changed = content | {"title": "Sores"}
    assert mine.post(versions, changed, format="json").data["version"] == 2
    listed = mine.get(versions).data
    assert [(one["version"], one["state"]) for one in listed] == [(2, "draft"), (1, "active")]
    detail = other.get(reverse("api-version", args=["wound", 2])).data
    assert {name: detail[name] for name in content} == changed
    assert detail["may_publish"] and len(detail["effects"]) == 2
    case = make_case(cast.clinic)
    Case.objects.filter(pk=case.pk).update(
        status=CaseStatus.RESOLVED, label="Burns", waiting_due_at=None
    )
    trials = reverse("api-trials", args=["wound", 2])
    begun = mine.post(trials, {"cases": 5}, format="json")
    assert (begun.status_code, begun.data["total"], begun.data["done"]) == (201, 1, 0)
    assert mine.post(trials, {}, format="json").status_code == 409
    assert [one["id"] for one in mine.get(trials).data] == [begun.data["id"]]
    path = reverse("api-publish-version", args=["wound", 2])
    refused = mine.post(path)
    assert (refused.status_code, refused.data["code"]) == (403, "two_person_rule")
    assert other.post(path).status_code == 200
    cast.clinic.refresh_from_db()
    assert domain_at(cast.clinic).title == "Sores"
    assert other.post(path).status_code == 409


def test_faults_come_by_field(cast: Cast) -> None:
    wrong = EQUIPMENT | {"prompt": "no placeholder", "labels": [EQUIPMENT["labels"][0]] * 2}
    answer = api(cast.administrator).post(reverse("api-domains"), wrong, format="json")
    assert (answer.status_code, answer.data["code"]) == (422, "invalid")
    assert answer.data["faults"] == {"prompt": "This must hold $labels, and no other $ sign."}
    twice = EQUIPMENT | {"labels": [EQUIPMENT["labels"][0]] * 2}
    answer = api(cast.administrator).post(reverse("api-domains"), twice, format="json")
    assert answer.data["faults"] == {"labels.1.id": "Another label has this name already."}


@pytest.mark.parametrize(
    "body", [[], {}, {"labels": "x"}, {**EQUIPMENT, "labels": [1]}, {**EQUIPMENT, "title": "\0"}]
)
def test_what_is_no_definition_is_refused(cast: Cast, body: Any) -> None:
    answer = api(cast.administrator).post(reverse("api-domains"), body, format="json")
    assert answer.status_code in (400, 422)
    assert not DomainVersion.objects.exists()


def test_clinicians_read_and_administrators_write(cast: Cast) -> None:
    reader = api(cast.clinician)
    assert reader.post(reverse("api-domains"), EQUIPMENT, format="json").status_code == 403
    assert reader.post(reverse("api-versions", args=["wound"]), {}).status_code == 403
    assert reader.get(reverse("api-version", args=["wound", 0])).status_code == 200
    assert reader.get(reverse("api-version", args=["wound", 7])).status_code == 404
    assert reader.get(reverse("api-versions", args=["nothing"])).status_code == 404


def test_a_site_of_a_domain_that_does_not_ship_names_a_version(cast: Cast) -> None:
    mine = api(cast.administrator)
    wanted = {"name": "Boilers", "kind": "clinic", "domain": "equipment"}
    assert mine.post(reverse("api-sites"), wanted, format="json").status_code == 422
    missing = mine.post(reverse("api-sites"), wanted | {"version": 3}, format="json")
    assert missing.status_code == 404
    home = wanted | {"domain": "home", "kind": "household"}
    assert mine.post(reverse("api-sites"), home, format="json").status_code == 201
    assert Membership.objects.filter(user=cast.administrator).count() == 2
