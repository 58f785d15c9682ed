"""HTTP/1.1 on 127.0.0.1: connections stay open, and can be dropped on purpose.

Werkzeug's own development server closes after every answer, which would hide how a
client reuses connections; its request and response are used all the same.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from werkzeug.wrappers import Request, Response

Answer = Callable[[Request], Response | None]  # None: drop the connection


class Server:
    """Serves until it is closed; every connection has a thread."""

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self._http = _Http(("127.0.0.1", port), answer)
        self._thread = threading.Thread(
            target=self._http.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="constant-contact",
            daemon=True,
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return self._http.server_port

    def close(self) -> None:
        """Stop taking connections, end the open ones and wait for their threads."""
        self._http.shutdown()
        self._thread.join()
        self._http.end_connections()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Answer) -> None:
        super().__init__(address, _Handler)
        self.answer = answer
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of broken connections, which tests cause; show what is our own fault."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ConstantContactStandIn"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together
    server: _Http

    def _serve(self) -> None:
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._send(Response("Length Required", 411))
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        response = self.server.answer(Request(self._environ(body)))
        if response is None:
            self.close_connection = True
        else:
            self._send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        environ.pop("HTTP_CONTENT_LENGTH", None)
        return environ

    def _send(self, response: Response) -> None:
        content = response.get_data()
        self.send_response(response.status_code)
        for name, value in response.headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        if response.status_code != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: addresses may carry codes and states."""
