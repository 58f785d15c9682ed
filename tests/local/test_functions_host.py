"""The Functions host: what the real one does and refuses, as far as this one stands in for it."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
import requests
from azure.storage.queue import QueueClient, QueueServiceClient

from local.functions_host import Host, HostRefused, schedules
from tests.unit.test_schedules import REFUSED

ROOT = Path(__file__).parents[2]
BUNDLE = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
HOST_JSON: dict[str, Any] = {
    "version": "2.0",
    "extensionBundle": BUNDLE,
    "extensions": {
        "http": {"routePrefix": ""},
        "queues": {"messageEncoding": "none", "maxPollingInterval": "00:00:01"},
    },
}


def eventually(happened: Callable[[], object], seconds: float = 20) -> None:
    """Wait until *happened* says so."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def running(
    app: func.FunctionApp, environment: dict[str, str] | None = None, **options: Any
) -> Iterator[Host]:
    host_json = options.pop("host_json", HOST_JSON)
    longest_poll = timedelta(seconds=0.1)
    with Host(app, environment or {}, host_json, longest_poll=longest_poll, **options) as host:
        yield host


# Loading


def _http_app(**route: Any) -> func.FunctionApp:
    app = func.FunctionApp()

    @app.route(**{"route": "api/echo"} | route)
    def echo(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("")

    return app


@pytest.mark.parametrize("route", ["admin/runs", "administration", "runtime", "/Admin/x"])
def test_a_route_that_begins_as_the_hosts_own_is_refused(route: str) -> None:
    with pytest.raises(HostRefused, match="echo: routes beginning with admin"):
        Host(_http_app(route=route), {}, HOST_JSON)


def test_a_binding_name_with_an_underscore_is_refused() -> None:
    """The library takes it, the host does not."""
    app = func.FunctionApp()

    @app.queue_trigger(arg_name="my_message", queue_name="jobs", connection="EXPORT_STORAGE")
    def perform(my_message: func.QueueMessage) -> None: ...

    with pytest.raises(HostRefused, match="my_message"):
        Host(app, {}, HOST_JSON)


def test_a_function_name_begins_with_a_letter() -> None:
    app = func.FunctionApp()

    @app.function_name("1st")
    @app.route("api/first")
    def first(req: func.HttpRequest) -> str:
        return ""

    with pytest.raises(HostRefused, match="1st: not a function name"):
        Host(app, {}, HOST_JSON)


def test_parameters_have_to_be_the_bindings() -> None:
    app = func.FunctionApp()

    @app.route("api/first", trigger_arg_name="request")
    def first(req: func.HttpRequest) -> str:
        return ""

    with pytest.raises(HostRefused, match="its binding gives \\['request'\\]"):
        Host(app, {}, HOST_JSON)


def test_a_missing_setting_is_named() -> None:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="%EXPORT_SCHEDULE%")
    def schedule_exports(timer: func.TimerRequest) -> None: ...

    with pytest.raises(
        HostRefused, match="schedule_exports: the setting EXPORT_SCHEDULE is missing"
    ):
        Host(app, {}, HOST_JSON)


def test_a_missing_connection_is_named() -> None:
    app = func.FunctionApp()

    @app.queue_trigger(arg_name="message", queue_name="jobs", connection="EXPORT_STORAGE")
    def perform(message: func.QueueMessage) -> None: ...

    with (
        pytest.raises(HostRefused, match="EXPORT_STORAGE or EXPORT_STORAGE__queueServiceUri"),
        Host(app, {}, HOST_JSON),
    ):
        pass


def test_without_an_extension_bundle_there_are_no_queue_triggers() -> None:
    app = func.FunctionApp()

    @app.queue_trigger(arg_name="message", queue_name="jobs", connection="EXPORT_STORAGE")
    def perform(message: func.QueueMessage) -> None: ...

    with pytest.raises(HostRefused, match="extensionBundle"):
        Host(app, {}, {"version": "2.0"})


@pytest.mark.parametrize(
    "queues",
    [
        {"batchSize": 33},
        {"batchSize": "4"},
        {"maxPollingInterval": 100},
        {"messageEncoding": "utf8"},
        {"lockSeconds": 5},
    ],
)
def test_queue_options_the_host_does_not_know_are_refused(queues: dict[str, Any]) -> None:
    with pytest.raises(HostRefused, match=r"host\.json"):
        Host(_http_app(), {}, HOST_JSON | {"extensions": {"queues": queues}})


# HTTP


site = func.FunctionApp()


@site.route("api/echo/{id?}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route_params": dict(req.route_params),
        "body": req.get_body().decode(),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")


@site.route("api/things/{name}", methods=["GET"])
def a_things(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"a {req.route_params['name']}", status_code=203)


@site.route("api/things/special", methods=["GET", "DELETE"])
def b_special(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("special")


@site.route("console/{*path}")
def console(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.route_params.get("path", ""), mimetype="text/html")


@site.route("api/fails")
def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("on purpose")


@site.route("api/nothing")
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None  # type: ignore[return-value]


@site.route("api/text")
def text(req: func.HttpRequest) -> str:
    return '{"a":1}'


@site.route("api/redirect")
def redirect(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(status_code=302, headers={"Location": "/console/"})
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly")
    response.headers.add("Set-Cookie", "b=2")
    return response


@site.queue_trigger(arg_name="message", queue_name="jobs", connection="EXPORT_STORAGE")
def perform(message: func.QueueMessage) -> None: ...


@site.timer_trigger(arg_name="timer", schedule="%EXPORT_SCHEDULE%")
def tick(timer: func.TimerRequest) -> None: ...


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """A host with one function of each kind that HTTP can meet."""
    settings = {
        "EXPORT_SCHEDULE": "0 */15 * * * *",
        "AzureWebJobs.perform.Disabled": "true",
        "AzureWebJobs.text.Disabled": "false",
    }
    with running(site, settings) as host:
        yield host.url


def test_a_request_arrives_as_it_would_on_azure(web: str) -> None:
    """Header names in lower case, repeated query values joined with commas."""
    seen = requests.post(
        f"{web}/api/echo/Caf%C3%A9%2Fx?tag=a&tag=b&name=M%C3%BCnchen",
        data="hello",
        headers={"If-Match": '"1"'},
        timeout=5,
    ).json()

    assert seen["method"] == "POST"
    assert seen["headers"]["if-match"] == '"1"'
    assert seen["params"] == {"tag": "a,b", "name": "München"}
    assert seen["route_params"] == {"id": "Café%2Fx"}
    assert seen["body"] == "hello"
    assert seen["url"].startswith(f"{web}/api/echo/")


def test_a_chunked_body_without_a_length_does_not_arrive(web: str) -> None:
    seen = requests.post(f"{web}/api/echo", data=iter([b"hello"]), timeout=5).json()

    assert seen["body"] == ""


def test_a_body_may_not_be_larger_than_100_mib(web: str) -> None:
    answer = requests.post(
        f"{web}/api/echo", headers={"Content-Length": str(100 * 1024**2 + 1)}, timeout=5
    )

    assert answer.status_code == 413


def test_a_wrong_method_is_not_found(web: str) -> None:
    assert requests.put(f"{web}/api/echo", timeout=5).status_code == 404


def test_an_unknown_path_is_not_found(web: str) -> None:
    assert requests.get(f"{web}/api/unknown", timeout=5).status_code == 404
    assert requests.get(f"{web}/admin/unknown", timeout=5).status_code == 404


def test_routes_are_tried_in_alphabetical_order_of_function_name(web: str) -> None:
    """Not the most specific route first."""
    assert requests.get(f"{web}/api/things/special", timeout=5).text == "a special"
    assert requests.delete(f"{web}/api/things/special", timeout=5).text == "special"


def test_the_last_part_of_a_route_may_be_optional_or_take_the_rest(web: str) -> None:
    assert requests.get(f"{web}/api/echo", timeout=5).json()["route_params"] == {}
    assert requests.get(f"{web}/console", timeout=5).text == ""
    assert requests.get(f"{web}/console/assets/console.js", timeout=5).text == "assets/console.js"


def test_routes_are_the_same_in_any_case(web: str) -> None:
    assert requests.get(f"{web}/API/Echo", timeout=5).status_code == 200


def test_an_answer_carries_status_type_and_every_cookie(web: str) -> None:
    answer = requests.get(f"{web}/api/redirect", allow_redirects=False, timeout=5)

    assert answer.status_code == 302
    assert answer.headers["Location"] == "/console/"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.cookies.get_dict() == {"a": "1", "b": "2"}


def test_a_function_has_to_return_a_response_or_text(web: str) -> None:
    assert requests.get(f"{web}/api/nothing", timeout=5).status_code == 500
    assert requests.get(f"{web}/api/text", timeout=5).text == '{\n  "a": 1\n}'


def test_an_unhandled_error_is_a_500_and_logged_with_its_traceback(
    web: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = requests.get(f"{web}/api/fails", timeout=5)

    assert answer.status_code == 500
    assert answer.text == ""
    assert "Executed fails (failed" in caplog.text
    assert "ValueError: on purpose" in caplog.text


def test_the_functions_are_listed_with_their_triggers(web: str) -> None:
    functions = requests.get(f"{web}/admin/functions", timeout=5).json()
    by_name = {function["name"]: function for function in functions}

    assert list(by_name) == sorted(by_name)
    assert by_name["echo"] == {
        "name": "echo",
        "trigger": "httpTrigger",
        "disabled": False,
        "route": "/api/echo/{id?}",
        "methods": ["GET", "POST"],
    }
    assert by_name["tick"]["schedule"] == "0 */15 * * * *"
    assert by_name["perform"]["queue"] == "jobs"
    assert by_name["perform"]["disabled"]


def test_the_prefix_of_routes_is_api_unless_named() -> None:
    host = Host(_http_app(route="echo"), {}, {"version": "2.0"})

    assert [function.route for function in host.functions] == ["api/echo"]


# Queues


@pytest.fixture
def queues(storage_account: str) -> Iterator[QueueServiceClient]:
    with QueueServiceClient.from_connection_string(storage_account) as client:
        client.create_queue("jobs")
        client.create_queue("jobs-poison")
        yield client


def _queue_app(
    perform: Callable[[func.QueueMessage], None], queue: str = "jobs"
) -> func.FunctionApp:
    app = func.FunctionApp()

    @app.queue_trigger(arg_name="message", queue_name=queue, connection="EXPORT_STORAGE")
    def perform_step(message: func.QueueMessage) -> None:
        perform(message)

    return app


def _waiting(client: QueueClient) -> int:
    """How many messages a queue holds, locked ones too."""
    return client.get_queue_properties().approximate_message_count or 0


def test_a_message_is_deleted_when_its_function_returns(
    storage_account: str, queues: QueueServiceClient
) -> None:
    seen: list[tuple[bytes, int]] = []
    app = _queue_app(lambda message: seen.append((message.get_body(), message.dequeue_count or 0)))
    jobs = queues.get_queue_client("jobs")
    for number in range(20):
        jobs.send_message(f'{{"step": {number}, "text": "<ü>"}}')

    with running(app, {"EXPORT_STORAGE": storage_account}):
        eventually(lambda: len(seen) == 20 and _waiting(jobs) == 0)

    assert {count for _, count in seen} == {1}
    assert sorted(json.loads(body)["step"] for body, _ in seen) == list(range(20))


def test_the_fifth_failure_moves_a_message_to_the_poison_queue(
    storage_account: str, queues: QueueServiceClient, caplog: pytest.LogCaptureFixture
) -> None:
    counts: list[int] = []

    def fail(message: func.QueueMessage) -> None:
        counts.append(message.dequeue_count or 0)
        raise ValueError("on purpose")

    jobs, poison = queues.get_queue_client("jobs"), queues.get_queue_client("jobs-poison")
    queues.delete_queue("jobs-poison")  # the host makes it
    jobs.send_message('{"step": "x"}')
    with running(_queue_app(fail), {"EXPORT_STORAGE": storage_account}):
        eventually(lambda: "Moving message" in caplog.text and _waiting(jobs) == 0)

    assert counts == [1, 2, 3, 4, 5]
    assert [message.content for message in poison.receive_messages()] == ['{"step": "x"}']
    warnings = [record for record in caplog.records if "Moving message" in record.message]
    assert [(record.levelno, "'jobs-poison'" in record.message) for record in warnings] == [
        (logging.WARNING, True)
    ]


def test_a_failed_message_comes_back_after_the_visibility_timeout(
    storage_account: str, queues: QueueServiceClient
) -> None:
    times: list[float] = []

    def fail_once(message: func.QueueMessage) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            raise ValueError("on purpose")

    queues.get_queue_client("jobs").send_message("{}")
    retry_after = timedelta(seconds=1)
    settings = {"EXPORT_STORAGE": storage_account}
    with running(_queue_app(fail_once), settings, retry_after=retry_after):
        eventually(lambda: len(times) == 2)

    assert times[1] - times[0] >= 0.9


def test_a_failure_in_a_poison_queue_leaves_the_message_locked(
    storage_account: str, queues: QueueServiceClient, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no jobs-poison-poison."""
    counts: list[int] = []

    def fail(message: func.QueueMessage) -> None:
        counts.append(message.dequeue_count or 0)
        raise ValueError("on purpose")

    queues.get_queue_client("jobs-poison").send_message("{}")
    with running(_queue_app(fail, "jobs-poison"), {"EXPORT_STORAGE": storage_account}):
        eventually(lambda: "stays locked" in caplog.text)

    assert counts == [1]
    assert [queue.name for queue in queues.list_queues()] == ["jobs", "jobs-poison"]


def test_the_lock_is_renewed_for_as_long_as_the_function_runs(
    storage_account: str, queues: QueueServiceClient
) -> None:
    """A second instance does not get the message although the first lock has run out."""
    starts: list[int] = []
    done = threading.Event()

    def work(message: func.QueueMessage) -> None:
        starts.append(message.dequeue_count or 0)
        done.wait(20)

    jobs = queues.get_queue_client("jobs")
    jobs.send_message("{}")
    settings = {"EXPORT_STORAGE": storage_account}
    lock = timedelta(seconds=5)
    with (
        running(_queue_app(work), settings, lock=lock),
        running(_queue_app(work), settings, lock=lock),
    ):
        eventually(lambda: starts)
        end = time.monotonic() + 1.2 * lock.total_seconds()
        eventually(lambda: time.monotonic() > end)
        done.set()
        eventually(lambda: _waiting(jobs) == 0)

    assert starts == [1]


def test_what_is_not_base64_goes_to_poison_without_a_call(
    storage_account: str, queues: QueueServiceClient
) -> None:
    seen: list[bytes] = []
    jobs, poison = queues.get_queue_client("jobs"), queues.get_queue_client("jobs-poison")
    jobs.send_message('{"plain": "json"}')
    jobs.send_message(base64.b64encode(b'{"encoded": "json"}').decode())
    host_json = HOST_JSON | {"extensions": {"queues": {"messageEncoding": "base64"}}}
    app = _queue_app(lambda message: seen.append(message.get_body()))
    with running(app, {"EXPORT_STORAGE": storage_account}, host_json=host_json):
        eventually(lambda: _waiting(jobs) == 0)

    assert seen == [b'{"encoded": "json"}']
    assert [message.content for message in poison.receive_messages()] == ['{"plain": "json"}']


def test_no_more_run_at_once_than_batch_size_and_threshold(
    storage_account: str, queues: QueueServiceClient
) -> None:
    counting = threading.Lock()
    running_now = 0
    seen: list[int] = []

    def work(message: func.QueueMessage) -> None:
        nonlocal running_now
        with counting:
            running_now += 1
            seen.append(running_now)
        time.sleep(0.05)
        with counting:
            running_now -= 1

    jobs = queues.get_queue_client("jobs")
    for _ in range(12):
        jobs.send_message("{}")
    options = {"batchSize": 2, "newBatchThreshold": 1, "messageEncoding": "none"}
    host_json = HOST_JSON | {"extensions": {"queues": options}}
    with running(_queue_app(work), {"EXPORT_STORAGE": storage_account}, host_json=host_json):
        eventually(lambda: len(seen) >= 12 and _waiting(jobs) == 0)

    assert len(seen) == 12
    assert 2 <= max(seen) <= 3


def test_a_stop_lets_running_functions_finish(
    storage_account: str, queues: QueueServiceClient
) -> None:
    started, finished = threading.Event(), threading.Event()
    go_on = threading.Event()

    def work(message: func.QueueMessage) -> None:
        started.set()
        go_on.wait(20)
        finished.set()

    jobs = queues.get_queue_client("jobs")
    jobs.send_message("{}")
    with running(_queue_app(work), {"EXPORT_STORAGE": storage_account}):
        eventually(started.is_set)
        threading.Timer(0.2, go_on.set).start()

    assert finished.is_set()
    assert _waiting(jobs) == 0


# Timers


@pytest.mark.parametrize("schedule", [*REFUSED, "*/15 * * * *", "0 0 0 ? * MON", "0 0 25 * * *"])
def test_schedules_the_host_does_not_take_are_refused(schedule: str) -> None:
    with pytest.raises(HostRefused, match="schedule"):
        schedules.check(schedule)


@pytest.mark.parametrize(
    ("schedule", "following"),
    [
        ("0 */15 * * * *", datetime(2026, 11, 23, 6, 15, tzinfo=UTC)),
        ("*/10 * * * * *", datetime(2026, 11, 23, 6, 0, 10, tzinfo=UTC)),
        ("0 30 9 * JAN-MAR Mon", datetime(2027, 1, 4, 9, 30, tzinfo=UTC)),
        # Day of month and day of week both have to match: Friday the 13th.
        ("0 0 0 13 * FRI", datetime(2027, 8, 13, tzinfo=UTC)),
    ],
)
def test_a_schedule_names_its_next_time(schedule: str, following: datetime) -> None:
    schedules.check(schedule)

    assert schedules.next_after(schedule, datetime(2026, 11, 23, 6, tzinfo=UTC)) == following


def test_a_timer_fires_on_schedule() -> None:
    fired = threading.Event()
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="* * * * * *")
    def tick(timer: func.TimerRequest) -> None:
        if not timer.past_due:
            fired.set()

    with running(app):
        assert fired.wait(5)


def test_a_timer_that_is_off_fires_when_an_administrator_starts_it() -> None:
    fired = threading.Event()
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="* * * * * *")
    def tick(timer: func.TimerRequest) -> None:
        fired.set()

    with running(app, timers=False) as host:
        answer = requests.post(f"{host.url}/admin/functions/tick", json={"input": ""}, timeout=5)

        assert answer.status_code == 202
        assert fired.wait(5)


def test_a_queue_function_can_be_started_with_a_message_of_ones_own(
    storage_account: str,
) -> None:
    seen: list[bytes] = []
    app = _queue_app(lambda message: seen.append(message.get_body()))
    with running(app, {"EXPORT_STORAGE": storage_account}) as host:
        url = f"{host.url}/admin/functions/perform_step"

        assert requests.post(url, json={"input": '{"step": 1}'}, timeout=5).status_code == 202
        assert requests.post(url, json={"input": {"step": 1}}, timeout=5).status_code == 400
        eventually(lambda: seen)
    assert seen == [b'{"step": 1}']


# As a process

FUNCTION_APP = """
import os, time
from pathlib import Path
import azure.functions as func
app = func.FunctionApp()

@app.route("api/health")
def health(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("ok")

@app.queue_trigger(arg_name="message", queue_name="jobs", connection="EXPORT_STORAGE")
def perform(message: func.QueueMessage) -> None:
    if message.get_body() == b"crash":
        os.kill(os.getpid(), 9)
    if message.get_body() == b"wait":
        Path("started").touch()
        while not Path("go-on").exists():
            time.sleep(0.02)
"""


@contextmanager
def _process(folder: Path, storage: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "function_app.py").write_text(FUNCTION_APP)
    (folder / "host.json").write_text(json.dumps(HOST_JSON))
    with subprocess.Popen(
        [sys.executable, "-m", "local.functions_host", "--port", "0", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "EXPORT_STORAGE": storage},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip().removeprefix("Functions host on ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_stops_cleanly_when_it_is_told(
    tmp_path: Path, storage_account: str, number: signal.Signals
) -> None:
    with _process(tmp_path, storage_account) as process:
        assert requests.get(f"{_address(process)}/api/health", timeout=5).text == "ok"
        process.send_signal(number)

        assert process.wait(20) == 0
        assert process.stderr
        assert "INFO host Executed health (succeeded" in process.stderr.read()


def _stopping(process: subprocess.Popen[str], folder: Path, jobs: QueueClient) -> None:
    """Have the end of standard input stop *process* while its function waits for ``go-on``."""
    address = _address(process)
    jobs.send_message("wait")
    eventually((folder / "started").exists)
    assert process.stdin
    process.stdin.close()
    eventually(lambda: not _answers(address))


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/api/health", timeout=5).ok
    except requests.RequestException:
        return False


def test_the_end_of_standard_input_and_a_signal_are_one_request_to_stop(
    tmp_path: Path, storage_account: str, queues: QueueServiceClient
) -> None:
    """Whoever ends the process sends both, and which of them comes first is chance."""
    jobs = queues.get_queue_client("jobs")
    with _process(tmp_path, storage_account, "--until-stdin-ends") as process:
        _stopping(process, tmp_path, jobs)
        process.send_signal(signal.SIGTERM)
        (tmp_path / "go-on").touch()

        assert process.wait(20) == 0
    assert _waiting(jobs) == 0


def test_a_second_signal_ends_the_process_at_once(
    tmp_path: Path, storage_account: str, queues: QueueServiceClient
) -> None:
    jobs = queues.get_queue_client("jobs")
    with _process(tmp_path, storage_account, "--until-stdin-ends") as process:
        _stopping(process, tmp_path, jobs)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 1
    assert _waiting(jobs) == 1


def test_a_message_whose_process_died_comes_back_when_its_lock_has_run_out(
    tmp_path: Path, storage_account: str, queues: QueueServiceClient
) -> None:
    """After five deaths it is poison, without another call."""
    jobs, poison = queues.get_queue_client("jobs"), queues.get_queue_client("jobs-poison")
    jobs.send_message("crash")
    for _ in range(2):
        with _process(tmp_path, storage_account, "--lock-seconds", "1") as process:
            assert process.wait(20) == -signal.SIGKILL

    for _ in range(3):  # three more deliveries that end without a word
        eventually(lambda: list(jobs.receive_messages(visibility_timeout=1)))
    seen: list[bytes] = []
    app = _queue_app(lambda message: seen.append(message.get_body()))
    with running(app, {"EXPORT_STORAGE": storage_account}):
        eventually(lambda: _waiting(poison) == 1 and _waiting(jobs) == 0)
    assert seen == []


def test_a_missing_setting_ends_the_process_with_its_name(
    tmp_path: Path, storage_account: str
) -> None:
    with _process(tmp_path, "") as process:
        assert process.wait(20) == 1
        assert process.stderr
        assert "EXPORT_STORAGE" in process.stderr.read()
