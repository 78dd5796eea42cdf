"""The whole product as ./run starts it, with its own data and port, and a real browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from alarm_site.children import dies_with
from alarm_site.supervisor import ROOT, address
from triage.services.demo import PASSWORD

# A busy machine is no fault: what is expected comes within five seconds on a quiet one.
expect.set_options(timeout=15_000)
START_S = 120.0
STOP_S = 15.0
SCREENSHOTS = ROOT / "var" / "screenshots"
WIDTHS = {1280: 900, 390: 844}
BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# What the words of a process's command line say it is.
CHILDREN = {
    "valkey": "valkey-server",
    "worker": "celery",
    "sweep": "sweep",
    "web": "uvicorn",
}
OURS_ALONE = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "HOST", "ALLOWED_HOSTS")

SignIn = Callable[[str], Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.e2e)


@dataclass
class Stack:
    """The product's processes, under their supervisor."""

    data: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return address("127.0.0.1", self.port)

    @property
    def console(self) -> str:
        """What the supervisor has said so far."""
        return (self.data / "console.txt").read_text(errors="replace")

    def pid(self, name: str) -> int:
        """The process id of valkey, worker, sweep or web; waits while it is started again."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for pid in children(self.process.pid):
                if CHILDREN[name] in command_line(pid):
                    return pid
            time.sleep(0.05)
        raise AssertionError(f"no {name} is running; the supervisor said:\n{self.console}")

    def kill(self, name: str) -> None:
        """What a crash does: nothing is finished, nothing is said."""
        os.kill(self.pid(name), signal.SIGKILL)

    def manage(self, *words: str) -> str:
        """Runs a management command beside it, on the same data."""
        environment = {**self.environment, "REDIS_URL": f"unix://{self.data}/run/valkey.sock"}
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def start_stack(data: Path, **environment: str) -> Stack:
    """Starts the supervisor and waits until it says where the first page is."""
    port = free_port()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALARM_") and name not in OURS_ALONE
    }
    settings = {
        **kept,
        "ALARM_DATA": str(data),
        "PORT": str(port),
        "DJANGO_SETTINGS_MODULE": "alarm_site.settings",
        # What is drawn at random would make each run another day.
        "ALARM_BLIND_SHARE": "0",
        "ALARM_DOUBLE_SHARE": "0",
        # A handful of cases moves by more at once than a site's thousands may.
        "ALARM_STEP_CAP": "1",
        **environment,
    }
    with (data / "console.txt").open("wb") as console:
        process = subprocess.Popen(
            [sys.executable, "-m", "alarm_site.supervisor"],
            cwd=ROOT,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with(os.getpid()),
        )
    stack = Stack(data, port, settings, process)
    deadline = time.monotonic() + START_S
    while "Ctrl-C stops it" not in stack.console:
        if process.poll() is not None or time.monotonic() > deadline:
            stop_stack(stack)
            pytest.fail(f"the product did not start:\n{stack.console}")
        time.sleep(0.05)
    return stack


def stop_stack(stack: Stack) -> None:
    stack.process.terminate()
    try:
        stack.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        stack.process.kill()
        stack.process.wait()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The product with its demonstration, shared by all tests of the run."""
    with tempfile.TemporaryDirectory(prefix="alarm-e2e-") as folder:
        stack = start_stack(Path(folder))
        yield stack
        stop_stack(stack)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with its tables, to begin from: the migrations take longer than a start."""
    data = tmp_path_factory.mktemp("migrated")
    kept = {name: value for name, value in os.environ.items() if name not in OURS_ALONE}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env={
            **kept,
            "ALARM_DATA": str(data),
            "DJANGO_SETTINGS_MODULE": "alarm_site.settings",
            "REDIS_URL": "memory://localhost",
        },
        check=True,
    )
    return data / "db.sqlite3"


@pytest.fixture
def own_stack(tmp_path: Path, migrated: Path) -> Iterator[Callable[..., Stack]]:
    """Starts products of the test's own, for what would disturb others (a dead process)."""
    started: list[Stack] = []

    def start(**environment: str) -> Stack:
        data = Path(tempfile.mkdtemp(dir=tmp_path))
        shutil.copy(migrated, data)
        started.append(start_stack(data, **environment))
        return started[-1]

    yield start
    for stack in started:
        stop_stack(stack)


# The browser ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def base_url(stack: Stack) -> str:
    return stack.url


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("no Chromium: ./test installs one, or name it with CHROMIUM=PATH")
    return {"executable_path": found, "args": list(BROWSER_ARGUMENTS)}


@pytest.fixture
def allowed_errors() -> list[str]:
    """Patterns of console errors that a test expects; it appends to this list."""
    return []


@pytest.fixture
def new_context(
    browser: Browser, base_url: str, allowed_errors: list[str]
) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browser contexts; any error that a page of theirs reports fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def make(**options: object) -> BrowserContext:
        # Colours on their way to others would be measured as what they are then.
        still = {"base_url": base_url, "reduced_motion": "reduce", **options}
        context = browser.new_context(**still)  # type: ignore[arg-type]
        context.on("weberror", lambda error: errors.append(str(error.error)))
        context.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    unexpected = [e for e in errors if not any(re.search(p, e) for p in allowed_errors)]
    assert not unexpected, "errors in the browser:\n" + "\n".join(unexpected)


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    return new_context(viewport={"width": 1280, "height": WIDTHS[1280]})


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


Sessions = dict[tuple[str, str], str]


@pytest.fixture(scope="session")
def sessions() -> Sessions:
    """(address of the product, person) -> the session that they have there already."""
    return {}


@pytest.fixture
def signed_in(base_url: str, sessions: Sessions) -> Callable[[BrowserContext, str], Page]:
    """Opens a page as somebody, by the form where they have no session yet: that takes seconds."""

    def as_person(context: BrowserContext, name: str) -> Page:
        if kept := sessions.get((base_url, name)):
            context.add_cookies([{"name": "sessionid", "value": kept, "url": base_url}])
        page = context.new_page()
        page.goto("/")
        if "sign-in" in page.url:
            page.fill("input[name=username]", name)
            page.fill("input[name=password]", PASSWORD)
            page.click("form button.primary")
            page.wait_for_url(lambda url: "sign-in" not in url)
            cookies = {str(one.get("name")): str(one.get("value")) for one in context.cookies()}
            sessions[base_url, name] = cookies["sessionid"]
        return page

    return as_person


@pytest.fixture
def sign_in(
    new_context: Callable[..., BrowserContext], signed_in: Callable[[BrowserContext, str], Page]
) -> SignIn:
    """Gives a page on which a person of the demonstration is signed in, in a browser of its own.

    Names: clinician, clinician2, administrator, auditor, caregiver, caregiver2.
    """
    size = {"width": 1280, "height": WIDTHS[1280]}
    return lambda name: signed_in(new_context(viewport=size), name)


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keeps pictures of a page at 1280 and 390 pixels, for people to look at."""

    def both(page: Page, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        before = page.viewport_size
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)
        if before:
            page.set_viewport_size(before)

    return both
