"""What deploy/ says is true of this program: its variables, its commands, its metrics."""

import configparser
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands
from django.test import Client

from tests.services import server
from tests.test_docs import READS, ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, one in SERVICES.items() if one["image"] == "alarm-triage"}
UNITS = sorted((DEPLOY / "systemd").iterdir())
TEXTS = [path for path in DEPLOY.rglob("*") if path.is_file()] + [ROOT / "docs/deploy.md"]
# What other programs read: uvicorn, prometheus_client, boto3, PostgreSQL's image, CUDA.
OTHERS = {"FORWARDED_ALLOW_IPS", "WEB_CONCURRENCY", "PROMETHEUS_MULTIPROC_DIR"}
OTHERS |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
OTHERS |= {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"}
SETTINGS = set(READS.findall((ROOT / "alarm_site/settings.py").read_text()))


def test_every_variable_of_the_examples_is_a_setting() -> None:
    text = "\n".join(path.read_text() for path in DEPLOY.glob("*.env.example"))
    names = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))
    assert len(names) > 15
    assert names <= SETTINGS | OTHERS


def test_every_variable_that_is_named_is_a_setting() -> None:
    named = {name for path in TEXTS for name in re.findall(r"\bALARM_[A-Z0-9_]+", path.read_text())}
    assert len(named) > 5
    assert named <= SETTINGS


def test_every_command_exists() -> None:
    named = {
        name for path in TEXTS for name in re.findall(r"manage\.py,? ([a-z]+)", path.read_text())
    }
    assert {"prepare", "sweep", "backup", "restore", "queues", "account"} <= named
    assert named <= set(get_commands())


def test_every_module_that_is_run_exists() -> None:
    text = "\n".join(path.read_text() for path in TEXTS)
    assert "alarm_site.asgi:application" in text
    for name in set(re.findall(r"python -m ((?:benchmarks|alarm_site|scripts)\.\w+)", text)):
        assert (ROOT / f"{name.replace('.', '/')}.py").is_file(), name


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_container_of_ours_can_do_little(name: str) -> None:
    one = SERVICES[name]
    assert one["user"].split(":")[0] not in {"0", "root"}
    assert one["read_only"] is True and one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in one


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert [name for name, one in SERVICES.items() if "ports" in one] == ["proxy"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "valkey", "vllm", "prometheus"):
        assert SERVICES[name]["networks"] == ["inside"], name


def test_what_is_waited_for_can_be_seen_to_be_well() -> None:
    for name, one in SERVICES.items():
        for other, how in one.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"


def test_the_proxy_finds_a_web_server_that_was_made_anew() -> None:
    assert SERVICES["proxy"]["depends_on"]["web"] == {
        "condition": "service_healthy",
        "restart": True,
    }


def test_every_unit_that_is_named_is_there() -> None:
    text = (ROOT / "docs/deploy.md").read_text()
    named = set(
        re.findall(r"\balarm-(?:\w+@|\w+\.timer|(?:prepare|web|sweep|backup|verify)\b)", text)
    )
    files = {path.name.removesuffix(".service") for path in UNITS}
    assert len(named) > 5 and named <= files
    assert "GPU_QUEUES" in text


def test_no_secret_is_written_down() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    assert not re.search(r"(PASSWORD|SECRET_KEY|TOKEN)\s*[:=]\s*\S", text)
    done = subprocess.run(
        ["git", "check-ignore", "deploy/alarm.env", "deploy/postgres.env", "deploy/metrics-token"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(done.stdout.split()) == 3


# systemd ------------------------------------------------------------------------------------------


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_says_what_it_is_and_runs_as_nobody_special(path: Path) -> None:
    parsed = unit(path)
    assert parsed["Unit"]["Description"].startswith("ALARM Triage: ")
    if path.suffix == ".timer":
        assert path.with_suffix(".service") in UNITS
        assert parsed["Timer"]["Persistent"] == "yes"
        return
    service = parsed["Service"]
    assert service["User"] == "alarm" and service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict" and service["CapabilityBoundingSet"] == ""
    assert service["ExecStart"].startswith("/opt/alarm/.venv/bin/")
    for other in parsed["Unit"].get("Requires", "").split():
        assert path.with_name(other) in UNITS


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        text = re.sub(r"/opt/alarm/\.venv/bin/\w+", "/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text)
    files = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line] == []


# Prometheus ---------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.any_database
def test_alerts_ask_for_metrics_that_there_are() -> None:
    Client().get("/sign-in/")
    text = Client().get("/metrics").content.decode()
    told = set(re.findall(r"^# TYPE (alarm_\w+)", text, re.MULTILINE))
    told |= {f"{name}_{part}" for name in told for part in ("bucket", "count", "sum")}
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"\balarm_\w+", rule["expr"])}
    assert len(rules) > 8 and asked <= told
    [job] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert Client().get(job["metrics_path"]).status_code == 200


# nginx --------------------------------------------------------------------------------------------


class Web(BaseHTTPRequestHandler):
    """In place of the web server: allows /photo, and tells what it was asked with."""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/photo":
            self.send_header("X-Accel-Redirect", "/protected/ab/file")
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Cache-Control", "private, no-store")
        body = json.dumps({key.lower(): value for key, value in self.headers.items()}).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx with the product's configuration, its ports and paths alone another's; its address."""
    if not shutil.which("nginx"):
        pytest.skip("needs nginx")
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    (folder / "media/ab").mkdir(parents=True)
    (folder / "media/ab/file").write_bytes(b"0123456789")
    key = ("-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem"))
    subject = ("-days", "1", "-subj", "/CN=localhost")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *key, *subject],
        capture_output=True,
        check=True,
    )
    web = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    plain, secure = free_port(), free_port()
    text = (DEPLOY / "nginx.conf").read_text()
    # Its own folder for what is passing first: the paths below lie in /tmp as well.
    for ours, theirs in {
        "/tmp/": f"{folder}/",
        "web:8000": f"127.0.0.1:{web.server_address[1]}",
        "listen 8080": f"listen 127.0.0.1:{plain}",
        "listen 8443": f"listen 127.0.0.1:{secure}",
        "/etc/nginx/tls": str(folder),
        "/data/media/": f"{folder}/media/",
        "worker_processes auto": "daemon off; worker_processes 1; user root",
    }.items():
        assert ours in text, ours
        text = text.replace(ours, theirs)
    (folder / "nginx.conf").write_text(text)

    def is_up() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", secure)) == 0

    command = [str(shutil.which("nginx")), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    with server(command, folder, is_up):
        yield f"https://127.0.0.1:{secure}"
    web.shutdown()
    web.server_close()


def fetched(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, headers=headers)
    trusting = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(request, context=trusting) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {}, error.read()


def test_the_proxy_sends_what_the_view_allows_and_nothing_else(proxy: str) -> None:
    status, headers, body = fetched(f"{proxy}/photo")
    assert (status, body) == (200, b"0123456789")
    assert headers["content-type"] == "image/jpeg"
    assert headers["cache-control"] == "private, no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert not {"etag", "last-modified"} & set(headers)
    status, headers, body = fetched(f"{proxy}/photo", Range="bytes=2-4")
    assert (status, body, headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    status, _headers, body = fetched(f"{proxy}/photo", Range="bytes=1-2,4-5")
    assert (status, body) == (200, b"0123456789"), "all of it, as the view writes down"
    for path in ("/protected/ab/file", "/a/../protected/ab/file", "/metrics", "/readyz"):
        assert fetched(f"{proxy}{path}")[0] in {400, 404}, path


def test_the_proxy_believes_nobody_and_brings_an_id(proxy: str) -> None:
    lies = {
        "X-Forwarded-For": "10.0.0.7",
        "X-Real-IP": "10.0.0.7",
        "Forwarded": "for=10.0.0.7",
        "X-Request-ID": "a" * 32,
        "traceparent": "lie",
    }
    _status, _headers, body = fetched(f"{proxy}/", **lies)
    seen = json.loads(body)
    assert seen["x-forwarded-for"] == "127.0.0.1" and seen["x-forwarded-proto"] == "https"
    assert not {"forwarded", "x-real-ip", "traceparent"} & set(seen)
    assert re.fullmatch("[0-9a-f]{32}", seen["x-request-id"]) and seen["x-request-id"] != "a" * 32


def test_the_proxy_writes_no_queries() -> None:
    text = (DEPLOY / "nginx.conf").read_text()
    assert "$request_uri" not in text.split("log_format")[1].split(";")[0]
    assert "$args" not in text and "$http_referer" not in text
