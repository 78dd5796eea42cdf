"""What is refused, with which word, and that nothing a file does reaches the caller."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from inference.media import Limits, MediaRejected, sanitise, sanitising
from inference.media.sanitising import DECODER, SENTENCES
from tests.media import files

ODD_HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heicmif1" + b"\x00" * 200


def refusal(data: bytes, limits: Limits | None = None) -> MediaRejected:
    with pytest.raises(MediaRejected) as caught:
        sanitise(data, limits=limits)
    return caught.value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"Dear doctor, here is the photo.", "not_an_image"),
        (files.HTML, "not_an_image"),
        (files.SVG, "not_an_image"),
        (b"%PDF-1.7\n" + b"0" * 500, "not_an_image"),
        (b"#EXTM3U\nfile:///etc/passwd", "not_an_image"),
        (b"\x00" * 5000, "not_an_image"),
        (b"BM" + b"\x00" * 100, "unsupported"),
        (b"II*\x00" + b"\x00" * 100, "unsupported"),
        (ODD_HEIC, "unsupported"),
        (files.encoded(files.halves(), "GIF"), "unsupported"),
        (files.animated("PNG"), "animated"),
        (files.animated("WEBP"), "animated"),
        (files.encoded(Image.new("RGB", (1, 1)), "PNG"), "too_small"),
        (files.encoded(Image.new("RGB", (400, 31))), "too_small"),
        (files.claiming_png(60_000, 60_000), "too_many_pixels"),
        (files.claiming_png(2**31 - 1, 2**31 - 1), "too_many_pixels"),
        (files.claiming_png(640, 480), "truncated"),
        (b"\xff\xd8\xff" + files.HTML * 20, "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "truncated"),
    ],
)
def test_a_file_that_is_no_photo_is_refused(data: bytes, code: str) -> None:
    assert refusal(data).code == code


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_photo_that_was_cut_off_is_refused(format_: str, share: float) -> None:
    data = files.encoded(files.noise(), format_)
    assert refusal(data[: int(len(data) * share)]).code == "truncated"


def test_a_cut_off_progressive_jpeg_is_refused() -> None:
    data = files.encoded(files.noise(), progressive=True)
    assert refusal(data[: len(data) * 2 // 3]).code == "truncated"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_flipped_bits_are_shown_or_refused_but_never_raise_anything_else(
    format_: str, seed: int
) -> None:
    data = files.flipped(files.encoded(files.noise(), format_), seed)
    try:
        clean = sanitise(data)
    except MediaRejected as error:
        assert error.code in ("truncated", "decoder_failed", "too_many_pixels", "not_an_image")
    else:
        assert clean.image.startswith(b"\xff\xd8\xff")


def test_a_png_that_unpacks_to_far_too_much_is_refused_at_once() -> None:
    bomb = files.encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 200_000
    start = time.monotonic()
    assert refusal(bomb).code == "too_many_pixels"
    assert time.monotonic() - start < 5


def test_the_largest_allowed_picture_fits_into_the_child_s_memory() -> None:
    data = files.encoded(Image.new("RGBA", (6300, 6300), (9, 9, 9, 99)), "PNG", compress_level=1)
    assert sanitise(data).width == 2048


def test_a_file_that_is_too_large_is_never_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sanitising, "_decode", lambda *_: pytest.fail("decoded"))
    assert refusal(b"\xff\xd8\xff" + bytes(26 << 20)).code == "too_large"


def test_too_little_memory_fails_in_the_child_alone() -> None:
    data = files.encoded(Image.new("RGB", (6000, 6000)), "PNG")
    assert refusal(data, Limits(memory=160 << 20)).code == "decoder_failed"


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_every_refusal_says_what_to_do(code: str) -> None:
    error = MediaRejected(code, Limits())
    assert isinstance(error, ValueError)
    assert "Send" in str(error)
    assert "{" not in str(error)


def test_messages_name_the_limits() -> None:
    assert "25 MB" in str(MediaRejected("too_large", Limits()))
    assert "40 megapixels" in str(MediaRejected("too_many_pixels", Limits()))
    assert "60 seconds" in str(MediaRejected("too_long", Limits()))
    assert "9 megapixels" in str(MediaRejected("clip_too_detailed", Limits()))


GOOD = files.encoded(files.halves())
HEAD = """import json, os, struct, sys, time
def say(head, *parts):
    words = json.dumps(head).encode()
    sys.stdout.buffer.write(struct.pack(">I", len(words)) + words + b"".join(parts))
J = bytes([255, 216, 255])
GOOD = {"width": 9, "height": 9, "format": "JPEG", "duration_s": 0, "times": [0.0]}
def main():
    """
PROGRAMS = {
    "crashes": "os.abort()",
    "is killed": "os.kill(os.getpid(), 9)",
    "raises": "sys.stdin.buffer.read(); raise RuntimeError",
    "says nothing": "sys.stdin.buffer.read()",
    "never listens": "time.sleep(60)",
    "never answers": "sys.stdin.buffer.read(); time.sleep(60)",
    "talks without end": (
        "sys.stdin.buffer.read(); [sys.stdout.buffer.write(bytes(1 << 20)) for _ in iter(int, 1)]"
    ),
    "lies about its head": "sys.stdout.buffer.write(struct.pack('>I', 2**31) + b'{}')",
    "lies about lengths": "say(GOOD | {'sizes': [0, 2**31, 3]}, J, J)",
    "lies with a minus": "say(GOOD | {'sizes': [0, -3, 9]}, J, J)",
    "lies with words": "say(GOOD | {'sizes': ['0', '3', '3']}, J, J)",
    "stops half way": "say(GOOD | {'sizes': [0, 3, 3]}, J)",
    "gives no JSON": "sys.stdout.buffer.write(struct.pack('>I', 2) + b'{[')",
    "gives a list": "sys.stdout.buffer.write(struct.pack('>I', 2) + b'[]')",
    "gives no sizes": "say(GOOD, J, J)",
    "gives nothing": "say(GOOD | {'sizes': []})",
    "gives no frames": "say(GOOD | {'times': [], 'sizes': [0]})",
    "gives no times": "say({'width': 9, 'sizes': [0, 3, 3]}, J, J)",
    "gives no pictures": "say(GOOD | {'sizes': [0, 2, 2]}, b'<a<b')",
    "gives a thumbnail too few": "say(GOOD | {'sizes': [0, 3]}, J)",
    "gives far too many": "say(GOOD | {'times': [0] * 9, 'sizes': [0, *[3] * 18]}, J * 18)",
    "gives a clip of a photo": "say(GOOD | {'sizes': [8, 3, 3]}, b'0000ftyp', J, J)",
    "odd time": "say(GOOD | {'times': [[]], 'sizes': [0, 3, 3]}, J, J)",
    "odd width": "say(GOOD | {'width': [], 'sizes': [0, 3, 3]}, J, J)",
    "odd error": "say({'error': '?'})",
    "odd kind of error": "say({'error': [1]})",
}


@pytest.mark.parametrize("what", sorted(PROGRAMS))
def test_a_decoder_that_misbehaves_is_only_a_refusal(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "decoder.py"
    program.write_text(HEAD + PROGRAMS[what])
    monkeypatch.setattr(sanitising, "DECODER", program)
    monkeypatch.setattr(sanitising, "MAX_ANSWER", 4 << 20)
    large = GOOD + bytes(1 << 20)  # more than a pipe holds
    assert refusal(large, Limits(wall_s=4)).code == "decoder_failed"


def test_a_decoder_that_says_all_it_should_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the programs above leave out or change is all that is wrong with them."""
    program = tmp_path / "decoder.py"
    program.write_text(HEAD + "sys.stdin.buffer.read(); say(GOOD | {'sizes': [0, 3, 3]}, J, J)")
    monkeypatch.setattr(sanitising, "DECODER", program)
    assert sanitise(GOOD).width == 9


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def server() -> int:
    """The process id of the one that this process has once a file was decoded."""
    assert sanitising._server
    return sanitising._server._process.pid


def ended(pid: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or ") Z " in stat.read_text():
            return True
        time.sleep(0.02)
    return False


def test_no_child_is_left_behind_but_the_server_that_waits_for_the_next_file() -> None:
    sanitising.leave_server()
    refusal(files.claiming_png(640, 480))
    sanitise(GOOD)
    first = server()
    deadline = time.monotonic() + 10
    while children(first) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert children(first) == []
    sanitise(GOOD)
    assert server() == first
    sanitising.leave_server()
    assert ended(first)


def test_after_a_crash_no_file_meets_the_same_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guessing where things lie takes many tries against one layout."""
    crashing = tmp_path / "crashing.py"
    crashing.write_text(HEAD + "os.abort()")
    monkeypatch.setattr(sanitising, "DECODER", crashing)
    refusal(GOOD)
    first = server()
    assert ended(first)
    refusal(GOOD)
    assert server() != first


def test_a_server_that_is_gone_costs_no_file() -> None:
    sanitise(GOOD)
    os.kill(server(), signal.SIGKILL)
    assert sanitise(GOOD).width


def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Thread]:
    """An upload whose decoder listens and then does nothing; the file that has its process id."""
    program, pid = tmp_path / "decoder.py", tmp_path / "pid"
    said = f"open({str(pid)!r}, 'w').write(str(os.getpid()))"
    program.write_text(HEAD + f"sys.stdin.buffer.read(); {said}; time.sleep(60)")
    monkeypatch.setattr(sanitising, "DECODER", program)
    thread = Thread(target=lambda: refusal(GOOD, Limits(wall_s=2)))
    thread.start()
    deadline = time.monotonic() + 20
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return pid, thread


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_while_a_child_hangs_holds_no_upload(
    way: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sanitising, "PATIENCE_S", 1.0)
    pid, thread = hanging(tmp_path, monkeypatch)
    os.kill(server(), way)
    thread.join(20)
    assert not thread.is_alive()
    assert ended(int(pid.read_text())), "its own alarm ends it"


def test_a_child_ends_with_its_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, pid = tmp_path / "decoder.py", tmp_path / "pid"
    said = f"open({str(pid)!r}, 'w').write(str(os.getpid()))"
    done = "say(GOOD | {'sizes': [0, 3, 3]}, J, J); sys.stdout.flush(); os.close(0); os.close(1)"
    program.write_text(HEAD + f"sys.stdin.buffer.read(); {said}; {done}; time.sleep(60)")
    monkeypatch.setattr(sanitising, "DECODER", program)
    assert sanitise(GOOD).width == 9
    assert ended(int(pid.read_text()))


def test_a_machine_without_room_for_a_child_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "decoder.py"
    full = "def full(): raise BlockingIOError\nos.fork = full\n"
    program.write_text(HEAD.replace("def main", full + "def main") + "pass")
    monkeypatch.setattr(sanitising, "DECODER", program)
    assert refusal(GOOD).code == "decoder_failed"


def test_what_is_forked_from_this_process_has_a_server_of_its_own() -> None:
    sanitise(GOOD)
    pid = os.fork()
    if not pid:
        os._exit(0 if sanitise(GOOD).width and children(os.getpid()) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert sanitise(GOOD).width


def test_a_child_holds_its_socket_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "decoder.py"
    names = "len(os.environ.keys() - {'LC_CTYPE'})"
    seen = f"{{'width': len(os.listdir('/proc/self/fd')) - 1, 'height': {names}}}"
    program.write_text(
        HEAD + f"sys.stdin.buffer.read(); say(GOOD | {{'sizes': [0, 3, 3]}} | {seen}, J, J)"
    )
    monkeypatch.setattr(sanitising, "DECODER", program)
    for _ in range(2):
        answer = sanitise(GOOD)
        assert (answer.width, answer.height) == (3, 0), "in, out and errors; nothing of ours"


CONFINED = """
import json, resource, runpy, socket, sys
names = runpy.run_path(sys.argv[1])
names["confine"](json.loads(sys.argv[2]))
failed = []
for what, attempt in (
    ("read", lambda: open("/etc/passwd")),
    ("write", lambda: open("of-a-decoder", "w")),
    ("socket", lambda: socket.socket()),
):
    try:
        attempt()
    except OSError:
        failed.append(what)
print(json.dumps([failed, resource.getrlimit(resource.RLIMIT_CPU), sorted(sys.modules)]))
"""


def test_the_child_can_reach_nothing_and_carries_nothing_of_ours() -> None:
    limits = json.dumps({"memory": 1 << 30, "cpu_s": 7})
    command = (sys.executable, "-I", "-c", CONFINED, str(DECODER), limits)
    done = subprocess.run(command, capture_output=True, check=True, env={})
    failed, cpu, modules = json.loads(done.stdout)
    assert failed == ["read", "write", "socket"]
    assert cpu == [7, 7]
    ours = {"django", "celery", "inference", "triage", "torch", "numpy", "av"}
    assert not ours & {name.partition(".")[0] for name in modules}
