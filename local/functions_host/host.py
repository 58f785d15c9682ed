"""The host as a whole: loads the functions, serves HTTP, listens to queues, keeps time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import azure.functions as func
from azure.functions.http import HttpResponseConverter
from azure.functions.queue import QueueMessage
from azure.functions.timer import TimerRequest
from azure.identity import DefaultAzureCredential
from azure.storage.queue import QueueServiceClient
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge
from werkzeug.wrappers import Request, Response

from local.web import serve

from . import schedules
from .functions import Function, HostRefused, read_functions
from .options import read_prefix, read_queue_options
from .queues import POISON, QueueListener
from .routes import Routes

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger("host")

MAX_BODY_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True)
class Outcome:
    """What a call came to: a value, or the error it ended with."""

    value: object
    error: BaseException | None = None


class Host:
    """Runs *app* while its ``with`` block does.

    Args:
        app: The `FunctionApp` with everything registered.
        environment: The app's settings.
        host_json: The content of host.json.
        port: A free one unless named.
        lock: How long a message is taken for; the real host takes ten minutes.
        longest_poll: Instead of host.json's `maxPollingInterval`.
        retry_after: Instead of host.json's `visibilityTimeout`.
        timers: Whether timers fire by themselves; `POST /admin/functions/…` fires them anyway.
    """

    def __init__(
        self,
        app: func.FunctionApp,
        environment: Mapping[str, str],
        host_json: Mapping[str, Any],
        *,
        port: int = 0,
        lock: timedelta = timedelta(minutes=10),
        longest_poll: timedelta | None = None,
        retry_after: timedelta | None = None,
        timers: bool = True,
    ) -> None:
        self.functions = read_functions(app, environment, read_prefix(host_json))
        self.url = ""
        self._environment = environment
        self._port = port
        self._timers = timers
        options = replace(read_queue_options(host_json), lock=lock)
        if longest_poll is not None:
            options = replace(options, max_polling_interval=longest_poll)
        if retry_after is not None:
            options = replace(options, visibility_timeout=retry_after)
        self._queue_options = options
        enabled = [function for function in self.functions if not function.disabled]
        self._by_name = {function.name.lower(): function for function in enabled}
        self._routes = Routes(each for each in enabled if each.trigger == "httpTrigger")
        self._queued = [each for each in enabled if each.trigger == "queueTrigger"]
        self._timed = [each for each in enabled if each.trigger == "timerTrigger"]
        for function in self._timed:
            schedules.check(function.schedule)
        if self._queued and "extensionBundle" not in host_json:
            raise HostRefused("host.json: without extensionBundle there are no queue triggers.")
        self._stopping = threading.Event()
        self._stack = contextlib.ExitStack()
        # As many as the Python worker has for synchronous functions.
        self._workers = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), "function")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._workers)
            for function in self._queued:
                listener = self._listener(function, stack)
                listener.start()
                stack.callback(listener.stop)
            for function in self._timed if self._timers else ():
                timer = threading.Thread(target=self._keep_time, args=[function], name="timer")
                timer.start()
                stack.callback(timer.join)
                stack.callback(self._stopping.set)
            port = stack.enter_context(serve(self._answer, port=self._port))
            self.url = f"http://127.0.0.1:{port}"
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _listener(self, function: Function, stack: contextlib.ExitStack) -> QueueListener:
        service = stack.enter_context(self._queue_service(function, stack))
        queue = stack.enter_context(service.get_queue_client(function.queue))
        poison = stack.enter_context(service.get_queue_client(function.queue + POISON))
        return QueueListener(
            queue,
            poison,
            self._queue_options,
            lambda message: self._run(function, message).error is None,
        )

    def _queue_service(self, function: Function, stack: contextlib.ExitStack) -> QueueServiceClient:
        # A logger of the host's own: the SDK's says every poll, and the app may listen to it.
        logger = logging.getLogger("host.storage")
        logger.setLevel(logging.WARNING)
        name = function.connection
        if connection_string := self._environment.get(name):
            return QueueServiceClient.from_connection_string(connection_string, logger=logger)
        if url := self._environment.get(f"{name}__queueServiceUri"):
            credential = stack.enter_context(DefaultAzureCredential())
            return QueueServiceClient(url, credential, logger=logger)
        raise HostRefused(
            f"{function.name}: the setting {name} or {name}__queueServiceUri is missing."
        )

    def _run(self, function: Function, argument: object) -> Outcome:
        """Call a function on a worker's thread and log how it went."""
        started = time.monotonic()
        future: Future[object] = self._workers.submit(
            function.call, **{function.argument: argument}
        )
        error = future.exception()
        milliseconds = round((time.monotonic() - started) * 1000)
        if error is None:
            log.info("Executed %s (succeeded, %d ms)", function.name, milliseconds)
            return Outcome(future.result())
        log.error("Executed %s (failed, %d ms)", function.name, milliseconds, exc_info=error)
        return Outcome(None, error)

    def _keep_time(self, function: Function) -> None:
        while True:
            now = datetime.now(UTC)
            wait = schedules.next_after(function.schedule, now) - now
            if self._stopping.wait(wait.total_seconds()):
                return
            self._run(function, TimerRequest())

    # HTTP

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        try:
            path = str(request.environ["RAW_URI"]).partition("?")[0]
            if path.lower().startswith("/admin/"):
                return self._administer(request, path.lower().strip("/").split("/")[1:])
            found = self._routes.find(request.method, path)
            if found is None:
                raise NotFound
            function, parameters = found
            outcome = self._run(function, _http_request(request, parameters))
            return Response(status=500) if outcome.error else _http_response(outcome.value)
        except HTTPException as error:
            return Response(status=error.code)

    def _administer(self, request: Request, path: list[str]) -> Response:
        match request.method, path:
            case "GET", ["host", "status"]:
                return _json({"state": "Running"})
            case "GET", ["functions"]:
                return _json([function.summary() for function in self.functions])
            case "POST", ["functions", name] if name in self._by_name:
                return self._start(self._by_name[name], request)
            case _:
                raise NotFound

    def _start(self, function: Function, request: Request) -> Response:
        """Start a function that HTTP does not, as the portal's Test/Run does."""
        content = request.get_json(silent=True)
        text = content.get("input", "") if isinstance(content, dict) else None
        if not isinstance(text, str) or function.trigger == "httpTrigger":
            return Response(status=400)
        argument: object = TimerRequest()
        if function.trigger == "queueTrigger":
            argument = QueueMessage(  # type: ignore[no-untyped-call]
                id=str(uuid.uuid4()), body=text.encode(), dequeue_count=1
            )
        threading.Thread(target=self._run, args=[function, argument], name="started").start()
        return Response(status=202)


def _http_request(request: Request, parameters: Mapping[str, str]) -> func.HttpRequest:
    request.max_content_length = MAX_BODY_BYTES
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    # A chunked body without a length does not arrive on Azure either.
    body = request.get_data() if request.content_length else b""
    query = request.args.to_dict(flat=False)
    return func.HttpRequest(
        method=request.method,
        url=request.url,
        headers={name.lower(): value for name, value in request.headers.items()},
        params={name: ",".join(values) for name, values in query.items()},
        route_params=dict(parameters),
        body=body,
    )


def _http_response(value: object) -> Response:
    """Return what the worker and the host make of a function's result."""
    try:
        datum = HttpResponseConverter.encode(value, expected_type=None)
    except NotImplementedError:
        log.error("An HTTP function has to return an HttpResponse or text")  # noqa: TRY400
        return Response(status=500)
    if datum.type == "string":
        return Response(_reindented(datum.value), mimetype="text/plain")
    parts = datum.value
    response = Response(parts["body"].value, status=int(parts["status_code"].value))
    for name, header in parts["headers"].items():
        response.headers[name] = header.value
    for cookies in parts["cookies"] or ():
        for morsel in cookies.values():
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response


def _reindented(text: str) -> str:
    """Return text as the host sends a plain string: what parses as JSON is laid out anew."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except json.JSONDecodeError:
        return text


def _json(content: object) -> Response:
    return Response(json.dumps(content, indent=2) + "\n", mimetype="application/json")
