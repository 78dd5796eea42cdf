"""A real server that speaks the OpenAI protocol, and misbehaves as its path says."""

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

LABEL = "Burns"


class Stub(BaseHTTPRequestHandler):
    """`http://.../FAULT` as base_url shows that fault; `good` answers as the schema wants it."""

    over = threading.Event()
    numbers = count()
    kept: bytes = b""

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        getattr(self, f"say_{self.path.split('/')[1]}")()

    def fields(self) -> dict[str, str]:
        """An answer with all that the schema asks for."""
        schema = self.body["response_format"]["json_schema"]["schema"]
        said = {key: f"{key} of a picture" for key in schema["required"]}
        return said | {"label": LABEL}

    def reply(self, content: str, logprob: str = "-0.1") -> bytes:
        message = {"role": "assistant", "content": content}
        tokens = [{"token": "a", "logprob": "LOGPROB"}]
        whole = {
            "id": f"chatcmpl-{next(self.numbers)}",
            "choices": [{"message": message, "logprobs": {"content": tokens}}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 5},
        }
        return json.dumps(whole).replace('"LOGPROB"', logprob).encode()

    def say_good(self) -> None:
        asked: dict[str, Any] = self.body
        guided = "response_format" in asked
        words = asked["messages"][0]["content"][-1]["text"]
        self._say(self.reply(json.dumps(self.fields()) if guided else words))

    def say_hang(self) -> None:
        """Nothing comes, and it stays connected."""
        self.over.wait(5)

    def say_silence(self) -> None:
        """It begins to answer and says nothing."""
        self._head(200, 500)
        self.over.wait(5)

    def say_drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.over.wait(0.02):
            try:
                self.wfile.write(b" ")
            except OSError:
                return

    def say_error(self) -> None:
        self._say(b"oops", status=500)

    def say_reset(self) -> None:
        self._head(200, 500)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def say_shut(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)

    def say_garbage(self) -> None:
        self._say(bytes(range(256)))

    def say_html(self) -> None:
        self._say(b"<html><body>Gateway</body></html>")

    def say_large(self) -> None:
        self._say(b'{"choices": "' + b"x" * 10_000_000)

    def say_zip(self) -> None:
        self._say(bytes.fromhex("1f8b08"), headers={"Content-Encoding": "gzip"})

    def say_torn(self) -> None:
        """The reply ends before its end."""
        self._say(b'{"choices', headers={"Content-Length": "500"})

    def say_truncated(self) -> None:
        """The reply is whole, what the model says in it is not."""
        self._say(self.reply(json.dumps(self.fields())[:-20]))

    def say_nan(self) -> None:
        self._say(self.reply(json.dumps(self.fields() | {"label": float("nan")})))

    def say_nan_logprob(self) -> None:
        self._say(self.reply(json.dumps(self.fields()), logprob="NaN"))

    def say_huge(self) -> None:
        self._say(self.reply(json.dumps(self.fields()).replace(f'"{LABEL}"', "1e999")))

    def say_huge_logprob(self) -> None:
        self._say(self.reply(json.dumps(self.fields()), logprob="-1e999"))

    def say_no_choices(self) -> None:
        self._say(b'{"id": "x", "usage": {}}')

    def say_no_label(self) -> None:
        said = self.fields()
        del said["label"]
        self._say(self.reply(json.dumps(said)))

    def say_unknown_label(self) -> None:
        self._say(self.reply(json.dumps(self.fields() | {"label": "no such label"})))

    def say_nul(self) -> None:
        said = {key: f"{value}\x00" for key, value in self.fields().items()}
        self._say(self.reply(json.dumps(said)))

    def say_nul_alone(self) -> None:
        self._say(b"\x00")

    def say_other(self) -> None:
        """Everybody gets the answer to the first question."""
        if not Stub.kept:
            Stub.kept = self.reply(json.dumps(self.fields()))
        self._say(Stub.kept)

    def _head(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(length)} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()

    def _say(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(body), headers)
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Tests keep quiet."""


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever is hung up on by the client says nothing of it."""


@contextmanager
def model_server() -> Iterator[str]:
    """Its address, without a path."""
    Stub.over.clear()
    Stub.kept = b""
    server = Quiet(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Stub.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
