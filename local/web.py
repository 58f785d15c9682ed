"""A small WSGI server on 127.0.0.1: a thread per connection, one request each."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server


class _Handler(WSGIRequestHandler):
    # Headers and body leave in two writes; Nagle's algorithm would hold the second for 40 ms.
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: addresses may carry codes and states."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Say nothing of broken connections, which tests cause on purpose."""


@contextmanager
def serve(app: Any, *, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve *app* until the block ends; gives the port, a free one unless named."""
    server = make_server(
        "127.0.0.1", port, app, threaded=True, request_handler=_Handler, ssl_context=tls
    )
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="web", daemon=True
    )
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
