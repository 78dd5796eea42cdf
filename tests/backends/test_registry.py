"""Members are read from a file; their backends are made on first use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.backends.errors import ModelUnavailable
from inference.backends.registry import (
    BACKENDS,
    MembersError,
    MemberSpec,
    fingerprint,
    load_backend,
    read_members,
)
from inference.backends.scripted import ScriptedBackend

ROOT = Path(__file__).parents[2]


@pytest.fixture
def members(tmp_path: Path) -> Path:
    return tmp_path / "members.toml"


def test_members_are_read_in_order_with_their_settings(members: Path) -> None:
    (members.parent / "lite0").mkdir()
    (members.parent / "server-model").mkdir()
    members.write_text(
        """
        [members]
        lite0 = { model = "lite0", domains = ["wound"] }
        hub = { model = "org/model", domains = ["wound", "home"], revision = "abc" }
        [members.server]
        backend = "openai_compatible"
        model = "server-model"
        domains = ["home"]
        options = { base_url = "http://127.0.0.1:1/v1", retries = 0 }
        """
    )
    lite0, hub, server = read_members(members)
    assert lite0 == MemberSpec(
        "lite0", "huggingface", str((members.parent / "lite0").resolve()), ("wound",)
    )
    assert (hub.model, hub.domains, hub.revision) == ("org/model", ("wound", "home"), "abc")
    assert (server.backend, server.model) == ("openai_compatible", "server-model")
    assert server.options == {"base_url": "http://127.0.0.1:1/v1", "retries": 0}


def test_no_members_are_no_error(members: Path) -> None:
    members.write_text("[members]\n")
    assert read_members(members) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a [members] table"),
        ("members = 3", "a [members] table"),
        ("[members]\n[other]", "a [members] table"),
        ("[members", "members.toml"),
        ("[members]\nx = 3", "member 'x'"),
        ("[members]\nx = { model = 'm' }", "member 'x': domains: Field required"),
        ("[members]\nx = { domains = [] }", "member 'x': domains"),
        ("[members]\nx = { domains = ['wound'], modle = 'm' }", "member 'x': modle"),
        ("[members]\nx = { domains = ['wound'], model = 3 }", "member 'x': model"),
        ("[members]\nx = { domains = ['wound'], backend = 'magic' }", "'magic' is none of"),
        ("[members]\n'X y' = { domains = ['wound'] }", "member 'X y': a name is"),
        ("[members]\nx = { domains = ['wound'] }\nx = {}", "members.toml"),
    ],
)
def test_a_wrong_file_is_refused_naming_file_and_member(
    members: Path, text: str, words: str
) -> None:
    members.write_text(text)
    with pytest.raises(MembersError) as caught:
        read_members(members)
    assert words in str(caught.value)
    assert str(members) in str(caught.value)


def test_how_a_member_is_asked_about_clips_is_no_matter_of_its_backend(members: Path) -> None:
    members.write_text(
        """
        [members]
        one = { backend = "scripted", domains = ["home"], options = { frames = "each", place = 1 } }
        two = { backend = "scripted", domains = ["home"], options = { frames = "together" } }
        three = { backend = "scripted", domains = ["home"] }
        """
    )
    one, two, three = read_members(members)
    assert [one.frames, two.frames, three.frames] == ["each", "together", "together"]
    assert one.options == {"place": 1}
    assert isinstance(load_backend(one), ScriptedBackend)


@pytest.mark.parametrize("wrong", ['"all"', "3", "true"])
def test_another_way_to_be_asked_is_refused(members: Path, wrong: str) -> None:
    members.write_text(f"[members]\nx = {{ domains = ['home'], options = {{ frames = {wrong} }} }}")
    with pytest.raises(MembersError, match=r"'x': option frames = .*: say \"together\" or"):
        read_members(members)


def test_a_missing_file_is_named(members: Path) -> None:
    with pytest.raises(MembersError, match=r"members\.toml"):
        read_members(members)


def test_a_backend_is_made_once_a_member() -> None:
    spec = MemberSpec("one", backend="scripted", domains=("wound",), options={"agreement": 0.5})
    backend = load_backend(spec)
    assert isinstance(backend, ScriptedBackend)
    assert load_backend(MemberSpec(**vars(spec))) is backend
    assert load_backend(MemberSpec(**vars(spec) | {"options": {"agreement": 0.6}})) is not backend


def test_a_dotted_name_is_a_backend_too() -> None:
    spec = MemberSpec("dotted", backend=BACKENDS["scripted"])
    assert isinstance(load_backend(spec), ScriptedBackend)


@pytest.mark.parametrize("backend", ["no_such", "no.such.Backend", "inference.backends.base.No"])
def test_an_unknown_backend_is_unavailable(backend: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"odd: backend '{backend}'"):
        load_backend(MemberSpec("odd", backend=backend))


def test_a_member_whose_making_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = MemberSpec(
        "keyed",
        backend="openai_compatible",
        options={"base_url": "http://127.0.0.1:1/v1", "api_key_env": "ALARM_TEST_KEY"},
    )
    with pytest.raises(ModelUnavailable, match="ALARM_TEST_KEY"):
        load_backend(spec)
    monkeypatch.setenv("ALARM_TEST_KEY", "k")
    assert load_backend(spec) is load_backend(spec)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"a": 1}')
    (folder / "model.safetensors").write_bytes(b"\x08" + bytes(100))
    (folder / "README.md").write_text("about")
    return folder


def test_the_fingerprint_is_of_the_content_of_a_folder(checkpoint: Path, tmp_path: Path) -> None:
    first = fingerprint(MemberSpec("one", model=str(checkpoint)))
    assert len(first) == 64
    os.utime(checkpoint / "config.json", (1, 1))
    (checkpoint / "README.md").write_text("more about")
    moved = checkpoint.rename(tmp_path / "moved")
    assert fingerprint(MemberSpec("two", model=str(moved))) == first


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_the_fingerprint_notices_a_changed_file(checkpoint: Path, name: str) -> None:
    spec = MemberSpec("one", model=str(checkpoint))
    first = fingerprint(spec)
    content = bytearray((checkpoint / name).read_bytes())
    content[-1] ^= 1
    (checkpoint / name).write_bytes(content)
    os.utime(checkpoint / name, (1, 1))
    assert fingerprint(spec) != first


def test_a_large_file_is_sampled_from_its_first_to_its_last_byte(checkpoint: Path) -> None:
    path, size = checkpoint / "model.safetensors", 65 * 2**20
    seen = set()
    for written_at, place in enumerate((None, 0, size // 2, size - 1)):
        with path.open("wb") as file:
            file.truncate(size)
            if place is not None:
                file.seek(place)
                file.write(b"x" * (2**17 if place == size // 2 else 1))
        os.utime(path, (1, written_at))
        seen.add(fingerprint(MemberSpec("one", model=str(checkpoint))))
    assert len(seen) == 4


def test_without_a_folder_the_revision_is_the_fingerprint() -> None:
    assert fingerprint(MemberSpec("one", model="org/model", revision="abc")) == "abc"
    assert fingerprint(MemberSpec("one", backend="scripted")) == ""


def test_a_web_process_never_loads_torch() -> None:
    code = """
import sys
import inference.pipeline.run, inference.backends.registry, inference.backends.embedder
import inference.backends.scripted, inference.backends.openai_compatible
found = {"torch", "transformers", "django", "celery", "sklearn"} & sys.modules.keys()
sys.exit(f"loaded: {found}" if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_price_is_read_for_every_backend(members: Path) -> None:
    members.write_text("[members]\nx = { domains = ['home'], options = { price = 2, crops = [] } }")
    [one] = read_members(members)
    assert (one.price, one.options) == (2.0, {"crops": []})


@pytest.mark.parametrize("wrong", ["-1", "'2'", "true", "inf", "nan"])
def test_a_price_is_a_number(members: Path, wrong: str) -> None:
    members.write_text(f"[members]\nx = {{ domains = ['home'], options = {{ price = {wrong} }} }}")
    with pytest.raises(MembersError, match=r"'x': option price = .*: say a number from 0 on"):
        read_members(members)
