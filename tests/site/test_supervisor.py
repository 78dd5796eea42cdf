"""Children that die come back, a stop leaves nothing, and every refusal is one sentence."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from alarm_site.children import CappedLog, Child, Family, Program, run_once
from alarm_site.supervisor import (
    ROOT,
    SOCKET_PATH_LIMIT,
    StartFailed,
    address,
    answers,
    only_one,
    pongs,
    prepare_data,
    read_settings,
    reason,
    refuse_port_in_use,
    socket_path,
    valkey_program,
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")


def python(code: str, name: str = "child", grace_s: float = 2.0) -> Program:
    return Program(name, (sys.executable, "-c", textwrap.dedent(code)), grace_s)


FOREVER = python("import time; time.sleep(600)")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def family() -> Iterator[Family]:
    family = Family()
    yield family
    family.kill()


@pytest.fixture
def make(tmp_path: Path, family: Family, said: list[str]) -> Callable[[Program], Child]:
    return lambda program: family.add(Child(program, tmp_path, os.environ, said.append))


def until(holds: Callable[[], object], family: Family | None = None, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        if family:
            family.tick(0.02)
        else:
            time.sleep(0.02)


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_output_goes_to_the_log_and_errors_are_said_once(
    make: Callable[[Program], Child], family: Family, said: list[str]
) -> None:
    child = make(python("print('all well'); print('ERROR x'); print('ERROR y')"))
    until(lambda: child.process is None, family)
    assert child.log.path.read_text().startswith("all well\nERROR x\nERROR y\n")
    assert [line for line in said if "ERROR" in line] == [f"child: ERROR x  [{child.log.path}]"]


def test_a_killed_child_starts_again_after_a_pause_that_grows(
    make: Callable[[Program], Child], family: Family, said: list[str]
) -> None:
    child = make(FOREVER)
    pids = set()
    for _ in range(2):
        until(lambda: child.process, family)
        assert child.process is not None
        pids.add(child.process.pid)
        child.process.kill()
        until(lambda: child.process is None, family)
    until(lambda: child.process, family)
    assert child.process is not None and child.process.pid not in pids
    assert [line.split("  [")[0] for line in said] == [
        "child stopped (signal 9), again in 0.5 s",
        "child stopped (signal 9), again in 1 s",
    ]


def test_stop_goes_backwards_and_kills_what_does_not_listen(
    make: Callable[[Program], Child], family: Family, tmp_path: Path
) -> None:
    ends = tmp_path / "ends"
    polite = """
        import signal, sys, time
        def end(*_):
            open({ends!r}, "a").write({name!r} + "\\n")
            sys.exit()
        signal.signal(signal.SIGTERM, end)
        print("ready"); time.sleep(600)
    """
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(600)"
    for name in ("first", "second"):
        make(python(polite.format(ends=str(ends), name=name), name))
    make(python(deaf, "third", grace_s=0.3))
    until(lambda: all(child.log.last_line() == "ready" for child in family.children), family)
    pids = [child.process.pid for child in family.children if child.process]
    family.stop()
    assert ends.read_text().split() == ["second", "first"]
    assert len(pids) == 3 and not any(alive(pid) for pid in pids)


@linux_only
def test_children_and_their_children_end_with_the_child(
    make: Callable[[Program], Child], family: Family
) -> None:
    code = "import subprocess as s, time; print(s.Popen(['sleep', '600']).pid); time.sleep(600)"
    child = make(python(code))
    until(child.log.last_line, family)
    grandchild = int(child.log.last_line())
    assert alive(grandchild)
    family.stop()
    until(lambda: not alive(grandchild))


@linux_only
def test_nothing_survives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = f"""
        import os, time, pathlib
        from alarm_site.children import Child, Family, Program
        program, folder = Program("child", ("sleep", "600")), pathlib.Path({str(tmp_path)!r})
        child = Family().add(Child(program, folder, os.environ, print))
        print(child.process.pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        assert alive(orphan)
        parent.kill()
    until(lambda: not alive(orphan))


@linux_only
def test_a_signal_while_a_child_starts_does_not_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    def popen(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        process = real(*arguments, **options)  # type: ignore[call-overload]
        signal.raise_signal(signal.SIGTERM)
        return process  # type: ignore[no-any-return]

    real, before = subprocess.Popen, signal.signal(signal.SIGTERM, interrupt)
    monkeypatch.setattr(subprocess, "Popen", popen)
    family = Family()
    child = Child(FOREVER, Path("/nowhere"), os.environ, print)
    try:
        with pytest.raises(Interrupted):
            family.add(child)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert child.process is not None
    assert alive(child.process.pid)
    family.kill()


def test_a_log_is_cut_over_and_one_old_one_is_kept(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "x.log", limit=10)
    for word in (b"aaaaaa\n", b"bbbbbb\n", b"cccccc\n"):
        log.write(word)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "x.log": b"cccccc\n",
        "x.log.1": b"bbbbbb\n",
    }


def test_run_once_gives_and_keeps_what_was_printed(tmp_path: Path) -> None:
    program = python("print('hello'); raise SystemExit('and why')", "step")
    done = run_once(program, tmp_path, os.environ)
    assert (done.returncode, done.stdout) == (1, "hello\n")
    assert (tmp_path / "step.log").read_text() == "hello\nand why\n"


def test_a_port_in_use_is_refused_with_another_proposed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed, match=rf"Port {port} .*in use.*PORT=\d+ \./run"):
            refuse_port_in_use("127.0.0.1", port)
    refuse_port_in_use("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartFailed, match=r"192\.0\.2\.1"):
        refuse_port_in_use("192.0.2.1", 8000)


def test_messages_that_nobody_else_hears_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from alarm_site import settings

    monkeypatch.setattr(settings, "REDIS_URL", "memory://localhost")
    with pytest.raises(StartFailed, match="single commands"):
        read_settings()


def test_a_data_folder_has_one_supervisor(tmp_path: Path) -> None:
    prepare_data(tmp_path, {})
    with only_one(tmp_path), pytest.raises(StartFailed, match="ALARM_DATA"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_the_secret_key_is_private_and_stays(tmp_path: Path) -> None:
    prepare_data(tmp_path, {})
    key = tmp_path / "secret_key"
    first = key.read_text()
    prepare_data(tmp_path, {})
    assert key.read_text() == first and len(first) >= 50
    assert key.stat().st_mode & 0o777 == 0o600


def test_no_key_is_kept_where_the_environment_has_one(tmp_path: Path) -> None:
    prepare_data(tmp_path, {"SECRET_KEY": "x" * 50})
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.parametrize("length", [10, 120])
def test_valkey_listens_on_a_private_socket_however_long_the_path(
    tmp_path: Path, family: Family, make: Callable[[Program], Child], length: int
) -> None:
    data = tmp_path / ("d" * length)
    prepare_data(data, {})
    with socket_path(data) as path:
        assert len(os.fsencode(path)) <= SOCKET_PATH_LIMIT
        assert not pongs(path)
        make(valkey_program(path, data))
        until(lambda: pongs(path), family)
        assert path.stat().st_mode & 0o777 == 0o700
        assert path.parent.stat().st_mode & 0o777 == 0o700
        family.stop()


def test_valkey_keeps_its_messages_over_a_kill(
    tmp_path: Path, family: Family, make: Callable[[Program], Child]
) -> None:
    redis = pytest.importorskip("redis")
    prepare_data(tmp_path, {})
    path = tmp_path / "v.sock"
    child = make(valkey_program(path, tmp_path))
    until(lambda: pongs(path), family)
    redis.Redis(unix_socket_path=str(path)).lpush("queue", "message")
    time.sleep(1.2)  # it is on disk after a second at most
    assert child.process is not None
    child.process.send_signal(signal.SIGKILL)
    until(lambda: child.process is None, family)
    until(lambda: pongs(path), family)
    assert redis.Redis(unix_socket_path=str(path)).lrange("queue", 0, -1) == [b"message"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", "it said nothing"),
        ("Traceback\n  File\nOperationalError: no such host\n\n", "OperationalError: no such host"),
        ("ERRORS:\n?: (alarm.E002) Bad.\n\n1 issue", "(alarm.E002) Bad."),
    ],
)
def test_the_reason_of_a_failed_command(output: str, expected: str) -> None:
    assert reason(output) == expected


def test_addresses() -> None:
    assert address("127.0.0.1", 8000) == "http://127.0.0.1:8000/"
    assert address("::1", 1) == "http://[::1]:1/"
    assert not answers("127.0.0.1", 9)


def supervisor(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alarm_site.supervisor"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "alarm_site.settings", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "eighty", "PORT='eighty' is not a number."),
        ("PORT", "70000", "PORT=70000 must lie between 1 and 65535."),
        ("ALARM_DEMO", "perhaps", "ALARM_DEMO='perhaps': say 1 or 0."),
        ("ALARM_DATA", "/dev/null/data", "The data folder cannot be written"),
    ],
)
def test_nonsense_in_the_environment_is_one_sentence(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    done = supervisor({"ALARM_DATA": str(tmp_path), name: value})
    assert done.returncode == 1 and done.stdout == ""
    assert words in done.stderr and done.stderr.count("\n") == 1


def test_an_address_that_others_reach_needs_fit_settings(tmp_path: Path) -> None:
    done = supervisor({"ALARM_DATA": str(tmp_path), "HOST": "0.0.0.0", "PORT": "18999"})
    assert done.returncode == 1
    assert "alarm.E003" in done.stderr and "ALLOWED_HOSTS" in done.stderr
