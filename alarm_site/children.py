"""Child processes: logged, started again when they die, and never alive without their parent."""

import contextlib
import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
# What asks the parent to end; see `uninterrupted`.
ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
ERROR_LINE = re.compile(r"\b(ERROR|CRITICAL)\b")
DELAYS_S = (0.5, 1, 2, 4, 8, 15)
STEADY_S = 30.0
QUIET_S = 10.0
LINE_LIMIT = 200

Say = Callable[[str], None]


def dies_with(parent: int) -> Callable[[], None]:
    """Gives what a child calls before exec so that the kernel kills it when `parent` is gone.

    Only Linux can do this. The kernel forgets the wish when the user changes, so it comes last.
    """

    def bind() -> None:
        if LIBC is not None:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

    return bind


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts off the signals that end the parent, so that no child is started and then forgotten."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


class CappedLog:
    """Appends to `path`; past `limit` bytes a new file begins and one old one is kept (.1)."""

    def __init__(self, path: Path, limit: int = 5_000_000) -> None:
        self.path = path
        self.limit = limit

    def write(self, data: bytes) -> None:
        """Appends; a full disk loses log lines, never the service."""
        with contextlib.suppress(OSError):
            if self.path.exists() and self.path.stat().st_size + len(data) > self.limit:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            with self.path.open("ab") as file:
                file.write(data)

    def last_line(self) -> str:
        """The last line that is not empty, or nothing."""
        text = self.path.read_text(errors="replace") if self.path.exists() else ""
        return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


@dataclass(frozen=True)
class Program:
    """What to run; `grace_s` seconds lie between a polite stop and the kill.

    `descriptors`: open files that it inherits under the same numbers.
    """

    name: str
    command: tuple[str, ...]
    grace_s: float = 2.0
    descriptors: tuple[int, ...] = ()


class Child:
    """One program's process, in a session of its own, its output in FOLDER/NAME.log.

    Lines with ERROR or CRITICAL are also said, at most one in ten seconds.
    """

    def __init__(
        self, program: Program, folder: Path, environment: Mapping[str, str], say: Say
    ) -> None:
        self.program = program
        self.log = CappedLog(folder / f"{program.name}.log")
        self.environment = environment
        self.say = say
        self.process: subprocess.Popen[bytes] | None = None
        self.deaths = 0
        self.due = 0.0
        self._started = 0.0
        self._quiet_until = 0.0
        self._rest = ""

    def start(self) -> None:
        self._started = time.monotonic()
        self._rest = ""
        with uninterrupted():
            self.process = subprocess.Popen(
                self.program.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
                pass_fds=self.program.descriptors,
                preexec_fn=dies_with(os.getpid()),
            )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    @property
    def output(self) -> int | None:
        """The descriptor to wait on, or None when there is nothing more to read."""
        if self.process is None or self.process.stdout is None or self.process.stdout.closed:
            return None
        return self.process.stdout.fileno()

    def read(self) -> bool:
        """Moves what the process wrote to its log and says its errors; False if there was none."""
        if self.output is None:
            return False
        try:
            data = os.read(self.output, 65536)
        except BlockingIOError:
            return False
        if not data:
            self._close()
            return False
        self.log.write(data)
        self._surface(data.decode(errors="replace"))
        return True

    def _close(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def _surface(self, text: str) -> None:
        *lines, rest = (self._rest + text).split("\n")
        self._rest = rest[-LINE_LIMIT:]
        for line in lines:
            if ERROR_LINE.search(line) and time.monotonic() >= self._quiet_until:
                self._quiet_until = time.monotonic() + QUIET_S
                self.say(f"{self.program.name}: {line.strip()[:LINE_LIMIT]}  [{self.log.path}]")

    def ended(self) -> str:
        """How the process ended, in words; empty while it runs."""
        code = None if self.process is None else self.process.poll()
        if code is None:
            return ""
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def bury(self, how: str) -> None:
        """Clears up after a process that ended by itself and sets when the next one is due."""
        self.clear()
        if time.monotonic() - self._started > STEADY_S:
            self.deaths = 0
        delay = DELAYS_S[min(self.deaths, len(DELAYS_S) - 1)]
        self.deaths += 1
        self.due = time.monotonic() + delay
        self.say(f"{self.program.name} stopped ({how}), again in {delay:g} s  [{self.log.path}]")

    def send(self, number: signal.Signals) -> None:
        """Sends to the whole group, so that what the process started goes with it."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def clear(self) -> None:
        """Leaves nothing of the process and its group, at once; its last words are logged."""
        if self.process is None:
            return
        self.send(signal.SIGKILL)
        self.process.wait()
        while self.read():
            pass
        self._close()
        self.process = None


class Family:
    """Children in the order of their start; they are stopped in the opposite order."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def add(self, child: Child) -> Child:
        self.children.append(child)
        child.start()
        return child

    def tick(self, seconds: float) -> None:
        """Waits up to `seconds` for output, logs it, and replaces children that died."""
        self._drain(seconds)
        for child in self.children:
            if how := child.ended():
                child.bury(how)
            elif child.process is None and time.monotonic() >= child.due:
                child.start()

    def _drain(self, seconds: float) -> None:
        children = {child.output: child for child in self.children if child.output is not None}
        ready, _, _ = select.select(list(children), [], [], seconds)
        for descriptor in ready:
            children[descriptor].read()

    def stop(self) -> None:
        """Stops one after the other, politely, and kills what does not go in its time."""
        for child in reversed(self.children):
            child.send(signal.SIGTERM)
            deadline = time.monotonic() + child.program.grace_s
            while child.process is not None and not child.ended() and time.monotonic() < deadline:
                self._drain(0.05)
            child.clear()

    def kill(self) -> None:
        """Leaves no process behind, at once."""
        for child in self.children:
            child.clear()


def run_once(
    program: Program, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; what it printed is given back, and kept in FOLDER/NAME.log."""
    done = subprocess.run(
        program.command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=dies_with(os.getpid()),
        check=False,
    )
    CappedLog(folder / f"{program.name}.log").write((done.stdout + done.stderr).encode())
    return done
