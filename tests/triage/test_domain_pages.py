"""The pages on which domains are written, tried, put in force, and given a site."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from inference.pipeline.domains import content_of, load_domain
from inference.services.definitions import kept
from tests.factories import make_case, make_user, make_version
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, Role
from triage.definition_form import DefinitionForm
from triage.models import Case, DomainVersion, Site, Trial
from triage.selectors.words import domain_at

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def members(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "members.toml"
    path.write_text('[members]\na = { backend = "scripted", domains = ["*"] }\n')
    settings.ALARM_MEMBERS = path
    monkeypatch.setattr("inference.dispatch.send", lambda _jobs: None)


@pytest.fixture
def boss(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.administrator)
    return client


@pytest.fixture
def second(cast: Cast) -> User:
    return make_user(cast.clinic, Role.ADMINISTRATOR, "second")


def filled(form: DefinitionForm, **more: str) -> dict[str, str]:
    """What a browser sends of a form."""
    data = {**form.texts, "labels": str(len(form.rows)), "note": "why", "act": "save"}
    for at, row in enumerate(form.rows):
        data |= {f"labels.{at}.{name}": text for name, text in row.texts.items()}
        data[f"labels.{at}.severity"] = row.severity
        if row.normal:
            data[f"labels.{at}.normal"] = "on"
    return data | more


WOUND = DefinitionForm.of(load_domain("wound"))


def test_the_form_carries_a_definition_to_and_fro(boss: Client, cast: Cast) -> None:
    question = "What kind of wound is it?"
    answer = boss.post(reverse("edit-domain", args=["wound"]), filled(WOUND, question=question))
    assert answer.headers["Location"] == reverse("domain-version", args=["wound", 2])
    domain = kept(DomainVersion.objects.get(version=2).definition_id)
    expected = content_of(load_domain("wound")) | {"question": question, "version": "2"}
    assert content_of(domain) == expected
    page = boss.get(answer.headers["Location"]).content.decode()
    assert "wound <del>do you see?</del><ins>is it?</ins>" in page
    assert "another administrator puts it in force" in page


def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(boss: Client) -> None:
    sent = filled(WOUND, prompt="No placeholder <b>here</b>", **{"labels.3.rule": ""})
    answer = boss.post(reverse("edit-domain", args=["wound"]), sent)
    assert answer.status_code == 422
    form = answer.context["form"]
    assert form.faults["prompt"] == "This must hold $labels, and no other $ sign."
    assert [set(row.faults) for row in form.rows] == [set()] * 3 + [{"rule"}] + [set()] * 3
    page = answer.content.decode()
    assert 'aria-describedby="help_prompt fault_prompt"' in page
    assert "No placeholder &lt;b&gt;here&lt;/b&gt;" in page
    assert "another look" in page
    assert not DomainVersion.objects.filter(version__gt=1).exists()


def test_labels_are_added_and_removed_without_a_script(boss: Client) -> None:
    path = reverse("edit-domain", args=["wound"])
    form = boss.post(path, filled(WOUND, act="add")).context["form"]
    assert len(form.rows) == 8 and form.rows[7].texts.get("id", "") == ""
    form = boss.post(path, filled(WOUND, act="remove-0")).context["form"]
    assert [row.texts["id"] for row in form.rows] == list(load_domain("wound").label_ids[1:])
    assert len(boss.post(path, filled(WOUND, act="remove-99")).context["form"].rows) == 7


@pytest.mark.parametrize("labels", ["", "-1", "x", "9" * 40, "²", "1e3"])
def test_what_no_browser_sends_is_no_crash(boss: Client, labels: str) -> None:
    for act in ("save", "add", "remove-", "remove-x"):
        answer = boss.post(
            reverse("edit-domain", args=["wound"]), {"labels": labels, "act": act, "title": "\0"}
        )
        assert answer.status_code in (200, 422)
    for path in ("domain", "domain-version"):
        where = reverse(path, args=["wound"] if path == "domain" else ["wound", 0])
        assert boss.get(where, headers={"HX-Request": "true"}).status_code == 200
    assert boss.get(reverse("new-domain"), {"copy": "\0"}).status_code == 404


def test_a_new_domain_from_blank_and_as_a_copy(boss: Client, cast: Cast) -> None:
    path = reverse("new-domain")
    blank = boss.get(path).context["form"]
    assert len(blank.rows) == 2 and "$labels" in blank.texts["prompt"]
    copy = boss.get(path, {"copy": "home"}).context["form"]
    assert [row.texts["id"] for row in copy.rows] == list(load_domain("home").label_ids)
    taken = boss.post(path, filled(copy, name="home"))
    assert taken.status_code == 422 and "already" in taken.context["form"].faults["name"]
    answer = boss.post(path, filled(copy, name="equipment", title="Equipment"))
    assert answer.headers["Location"] == reverse("domain-version", args=["equipment", 1])
    assert boss.get(reverse("domain", args=["equipment"])).status_code == 200
    assert "Equipment" in boss.get(reverse("domains")).content.decode()
    assert boss.get(reverse("domain-version", args=["equipment", 0])).status_code == 404


def test_a_definition_from_others_is_shown_as_text(boss: Client, cast: Cast) -> None:
    script = "<script>alert(1)</script>"
    sent = filled(WOUND, title=script, note=script, **{"labels.0.id": script})
    where = boss.post(reverse("edit-domain", args=["wound"]), sent).headers["Location"]
    for path in (where, reverse("domains"), reverse("edit-domain", args=["wound"])):
        page = boss.get(path).content.decode()
        assert script not in page


def test_two_people_put_a_version_in_force(boss: Client, cast: Cast, second: User) -> None:
    boss.post(reverse("edit-domain", args=["wound"]), filled(WOUND, title="Sores"))
    path = reverse("publish-domain", args=["wound", 2])
    assert boss.post(path).status_code == 403
    other = Client()
    other.force_login(second)
    page = other.get(reverse("domain-version", args=["wound", 2])).content.decode()
    assert "Put version 2 in force" in page
    other.post(path)
    cast.clinic.refresh_from_db()
    assert domain_at(cast.clinic).title == "Sores"
    assert boss.get(reverse("domain", args=["wound"])).context["page"].row.number == 2
    page = boss.get(reverse("domain-version", args=["wound", 1])).content.decode()
    assert "Put version 1 in force" in page, "to go back one person is enough"


def test_what_a_clinician_may_read_she_may_not_change(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.clinician)
    version = make_version(cast.clinic)
    page = client.get(reverse("domain-version", args=["wound", version.version])).content.decode()
    assert "Edit as a new version" not in page and "Put version" not in page


def test_a_trial_is_started_and_its_page_goes_on(boss: Client, cast: Cast) -> None:
    version = make_version(cast.clinic)
    for _ in range(3):
        case = make_case(cast.clinic)
        Case.objects.filter(pk=case.pk).update(
            status=CaseStatus.RESOLVED, label="Burns", waiting_due_at=None
        )
    page = reverse("domain-version", args=["wound", version.version])
    path = reverse("trial", args=["wound", version.version])
    assert boss.post(path, {"cases": "0"}, headers={"referer": page}).status_code == 302
    assert not Trial.objects.exists()
    assert boss.post(path, {"cases": "2"}).headers["Location"] == page
    assert len(Trial.objects.get().cases) == 2
    fragment = boss.get(page, headers={"HX-Request": "true"}).content.decode()
    assert 'id="trial"' in fragment and "<html" not in fragment
    assert "0 of 2 past cases" in fragment
    assert "Try again" not in fragment, "one at a time"


def test_a_site_is_added_with_a_domain_and_its_people(
    boss: Client, cast: Cast, second: User
) -> None:
    boss.post(reverse("new-domain"), filled(WOUND, name="equipment", title="Equipment"))
    path, along = reverse("new-site"), cast.clinic.memberships.get(user=cast.clinician)
    sent = {"name": "Boiler room", "domain": "equipment:1", "kind": "clinic", "people": [along.pk]}
    own = boss.post(path, sent)
    assert own.status_code == 422 and "another administrator" in own.content.decode()
    other = Client()
    other.force_login(second)
    assert other.get(path, {"domain": "equipment:1"}).context["form"].initial["domain"]
    assert other.post(path, sent).headers["Location"] == reverse("domains")
    site = Site.objects.get(name="Boiler room")
    assert (site.domain, domain_at(site).title) == ("equipment", "Equipment")
    again = other.post(path, sent)
    assert again.status_code == 422 and "already" in again.content.decode()


@pytest.mark.parametrize("domain", ["equipment:9", "nothing", "wound:", "wound:x", ""])
def test_no_site_of_what_is_not_there(boss: Client, cast: Cast, domain: str) -> None:
    sent = {"name": "Boiler room", "domain": domain, "kind": "clinic"}
    assert boss.post(reverse("new-site"), sent).status_code == 422


def test_people_of_other_sites_do_not_come_along(boss: Client, cast: Cast) -> None:
    foreign = cast.elsewhere.memberships.get(user=cast.outsider)
    sent = {"name": "Boiler room", "domain": "home", "kind": "clinic", "people": [foreign.pk]}
    assert boss.post(reverse("new-site"), sent).status_code == 422
    assert not Site.objects.filter(name="Boiler room").exists()


@pytest.mark.parametrize("name", ["nothing", "WOUND", "wound2"])
def test_a_domain_that_is_not_there_is_not_found(boss: Client, name: str) -> None:
    for route in ("domain", "edit-domain"):
        assert boss.get(reverse(route, args=[name])).status_code == 404
    assert boss.get(reverse("new-domain"), {"copy": name}).status_code == 404
