"""An OpenAI-compatible server on loopback that answers as a test says, faults included."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatDouble:
    """What the server got, and what it answers: text, or a fault by name."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.text = "pedestrian crossing the road, parked car"
        self.logprobs: Any = None
        self.raw: bytes | None = None
        self.fault = ""
        self.slow_s = 0.0
        self.url = ""

    def answer(self) -> bytes:
        if self.raw is not None:
            return self.raw
        choice = {"message": {"role": "assistant", "content": self.text}, "logprobs": self.logprobs}
        return json.dumps({"choices": [choice]}).encode()


@contextmanager
def chat_double() -> Iterator[ChatDouble]:
    """A server of its own, ended with the block."""
    double = ChatDouble()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            double.requests.append(json.loads(body) | {"path": self.path})
            double.headers.append(dict(self.headers))
            time.sleep(double.slow_s)
            if double.fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            status = 500 if double.fault == "500" else 200
            answer = double.answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[: len(answer) // 2] if double.fault == "cut" else answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    double.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield double
    server.shutdown()
    server.server_close()
