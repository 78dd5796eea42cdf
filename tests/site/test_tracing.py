"""One id from the browser to the model, in each line that is written on the way."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from logging.config import dictConfig
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import current_app
from django.conf import settings as configured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from alarm_site.logs import logging_config
from inference import tracing
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.backends.registry import MemberSpec
from inference.models import MemberJob, Run
from inference.services import work
from inference.services.jobs import claim_job
from inference.services.sweep import sweep_runs
from tests.factories import make_site, make_user
from tests.pictures import photo

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-00f067aa0ba902b7-01"
MEMBERS = '[members]\nfar = { backend = "openai_compatible", domains = ["wound"], model = "qwen" }'


@pytest.mark.parametrize(
    ("parent", "request_id", "expected"),
    [
        (PARENT, "", ID),
        ("", ID, ID),
        ("", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736", ID),
        (PARENT, "0" * 31 + "1", ID),
        (PARENT + "\n{}", "", None),
        (PARENT.upper(), "", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", "", None),
        ("", "0" * 32, None),
        ("", 'x" level="ERROR', None),
        ("", "", None),
    ],
)
def test_an_id_is_taken_as_it_should_look_or_made(
    parent: str, request_id: str, expected: str | None
) -> None:
    found = tracing.taken(parent, request_id)
    assert len(found) == 32 and int(found, 16)
    assert found == expected if expected else found != ID


def test_an_answer_names_the_id_and_leaves_nothing_behind() -> None:
    response = Client(headers={"traceparent": PARENT}).get("/healthz")
    assert response["X-Request-ID"] == ID
    assert tracing.current() == ""


@pytest.fixture
def written(settings: Settings) -> Iterator[StringIO]:
    """What is logged, as JSON, in place of the console; by a worker too."""
    stream = StringIO()
    config = logging_config(as_json=True)
    config["handlers"]["console"]["stream"] = stream
    settings.LOGGING = config
    kept = logging.root.handlers[:]
    dictConfig(config)
    yield stream
    dictConfig(logging_config(as_json=False))
    logging.root.handlers[:] = kept


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_level_name_and_trouble(written: StringIO) -> None:
    with tracing.carried(ID):
        try:
            raise ValueError("a\nb")
        except ValueError:
            logging.getLogger("inference.x").exception("it %s", "broke")
    [line] = lines(written)
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "inference.x", "it broke")
    assert line["trace_id"] == ID and line["timestamp"].endswith("Z")
    assert "ValueError: a\nb" in line["exception"]


def test_a_request_is_a_line_without_its_query(db: None, written: StringIO) -> None:
    Client(headers={"X-Request-ID": ID}).get("/sign-in/?next=P-secret")
    [line] = [line for line in lines(written) if line["logger"] == "alarm_site.requests"]
    assert line["message"].startswith("GET /sign-in/ 200 ")
    assert line["trace_id"] == ID
    assert "P-secret" not in written.getvalue()


def test_a_path_cannot_make_up_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="alarm_site.requests"):
        Client().get("/none%0aERROR%1b[2J")
    [line] = [one for one in caplog.messages if one.startswith("GET ")]
    assert line.startswith("GET /none%0AERROR%1B%5B2J 404 ")


class Model:
    """A server that answers in full, or not at all, and remembers who asked."""

    def __init__(self) -> None:
        self.status = 200
        self.parents: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.parents.append(request.headers.get("traceparent", ""))
        if self.status != 200:
            return httpx.Response(self.status)
        said = {"description": "red", "reasoning": "so", "label": "Burns", "reflection": "kept"}
        wanted = json.loads(request.content)["response_format"]["json_schema"]["schema"]
        text = json.dumps({key: said[key] for key in wanted["properties"]})
        return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Model:
    settings.ALARM_MEMBERS = tmp_path / "members.toml"
    settings.ALARM_MEMBERS.write_text(MEMBERS)
    server = Model()

    def load(spec: MemberSpec) -> OpenAICompatibleBackend:
        far = MemberSpec(
            spec.name,
            spec.backend,
            spec.model,
            options={"base_url": "http://model.test/v1", "retries": 0},
        )
        return OpenAICompatibleBackend(far, httpx.MockTransport(server))

    with current_app.connection_for_read() as link:
        link.SimpleQueue("member.far").clear()
    monkeypatch.setattr(work, "load_backend", load)
    monkeypatch.setattr("inference.ensemble.checked", lambda spec: spec)
    return server


def taken_from_the_queue() -> tuple[str, list[object], dict[str, object]]:
    """The message that waits for the member, as a worker gets it: task, arguments, headers."""
    with current_app.connection_for_read() as link:
        message = link.SimpleQueue("member.far").get(block=False)
        message.ack()
    return message.headers["task"], message.payload[0], message.headers


def send(site_photo: bytes, trace_id: str, capture: DjangoCaptureOnCommitCallbacks) -> Run:
    client = Client(headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})
    client.force_login(make_user(make_site()))
    with capture(execute=True):
        file = SimpleUploadedFile("wound.jpg", site_photo, "image/jpeg")
        client.post(reverse("api-observations"), {"file": file})
    return Run.objects.latest("created_at")


@pytest.mark.any_database
def test_one_id_from_the_browser_to_the_model(
    db: None,
    model: Model,
    written: StringIO,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    model.status = 400
    run = send(photo(), ID, django_capture_on_commit_callbacks)
    assert run.trace_id == ID
    task, arguments, headers = taken_from_the_queue()
    assert headers["trace_id"] == ID
    current_app.loader.import_default_modules()
    current_app.tasks[task].apply(arguments, headers=headers)
    assert {parent.split("-")[1] for parent in model.parents} == {ID}
    by_worker = [line for line in lines(written) if line["logger"] == "inference.services.work"]
    assert [line["trace_id"] for line in by_worker] == [ID]
    assert "400" in by_worker[0]["message"]
    assert tracing.current() == ""


@pytest.mark.any_database
def test_cases_that_are_asked_about_together_keep_their_ids(
    db: None, model: Model, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    ids = [ID, "a" * 32]
    runs = [
        send(photo((n, n, n)), one, django_capture_on_commit_callbacks) for n, one in enumerate(ids)
    ]
    work.execute_job(job_id=runs[0].jobs.get().pk)
    asked = [parent.split("-")[1] for parent in model.parents]
    assert sorted(asked) == sorted(ids * 2), "an answer and a reflection each"
    assert claim_job(job_id=runs[1].jobs.get().pk) is None, "it was taken along"


@pytest.mark.any_database
def test_a_job_that_is_sent_again_keeps_its_id(
    db: None, model: Model, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    """The sweep knows of no request."""
    send(photo((9, 9, 9)), ID, django_capture_on_commit_callbacks)
    taken_from_the_queue()
    MemberJob.objects.update(sent_at=None)
    sweep_runs()
    assert taken_from_the_queue()[2]["trace_id"] == ID


@pytest.mark.parametrize("as_json", [True, False])
def test_the_server_of_the_web_writes_no_queries(as_json: bool) -> None:
    loggers = logging_config(as_json=as_json)["loggers"]
    assert loggers["uvicorn.access"]["level"] == "CRITICAL"
    assert loggers["uvicorn"] == {"handlers": [], "propagate": True}


def test_the_settings_log_in_words_on_loopback() -> None:
    assert "()" not in configured.LOGGING["formatters"]["line"]
