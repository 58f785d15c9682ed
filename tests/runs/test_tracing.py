"""A run is one trace: the request that started it, its messages, and their calls."""

from __future__ import annotations

from collections.abc import Iterator

import azure.functions as func
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from functions.exchange import answering_all
from local.constant_contact import ConstantContact
from shared.runs import RunState
from tests.runs.app import PEOPLE, App

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What a real tracer records."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("shared.tracing._tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def of_kind(spans: InMemorySpanExporter, kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.kind is kind]


def test_the_request_the_messages_and_the_calls_are_one_trace(
    app: App, export_id: str, spans: InMemorySpanExporter
) -> None:
    def start_run(req: func.HttpRequest) -> func.HttpResponse:
        app.start(export_id)
        return func.HttpResponse(status_code=202)

    request = func.HttpRequest("POST", "/", headers={"traceparent": CALLER}, body=b"")
    answering_all(start_run)(request)
    app.drain()

    steps = of_kind(spans, SpanKind.CONSUMER)
    assert [span.name for span in steps] == ["step prepare", "step send", "step follow"]
    (started,) = of_kind(spans, SpanKind.SERVER)
    assert started.name == "start_run"
    ids = {span.context.span_id: span for span in spans.get_finished_spans() if span.context}
    trace_id = int(CALLER.split("-")[1], 16)
    assert {span.context.trace_id for span in ids.values() if span.context} == {trace_id}
    parents = [ids[span.parent.span_id].name for span in steps if span.parent]
    assert parents == ["start_run", "step prepare", "step send"]
    calls = of_kind(spans, SpanKind.CLIENT)
    assert {ids[call.parent.span_id].name for call in calls if call.parent} == {
        span.name for span in steps
    }
    assert "Constant Contact: the import" in {call.name for call in calls}


def test_a_call_that_goes_wrong_shows_its_code(
    app: App, export_id: str, constant_contact: ConstantContact, spans: InMemorySpanExporter
) -> None:
    constant_contact.faults.drop("/v3/activities/contacts_file_import", "after", times=1)

    assert app.run(export_id).state is RunState.COMPLETED

    calls = of_kind(spans, SpanKind.CLIENT)
    (lost,) = [call for call in calls if (call.attributes or {}).get("error.type") == "answer_lost"]
    assert lost.status.status_code is StatusCode.ERROR
    assert all(call.status.status_code is StatusCode.UNSET for call in calls if call is not lost)


def test_no_span_tells_who_anybody_is(
    app: App, export_id: str, constant_contact: ConstantContact, spans: InMemorySpanExporter
) -> None:
    constant_contact.options.errors_name_address = True
    constant_contact.refuse(PEOPLE[3][0])

    app.run(export_id)

    told = " ".join(span.to_json() for span in spans.get_finished_spans())
    assert "step send" in told
    for address, name, city in PEOPLE:
        assert not any(text in told for text in (address, name, city))
    assert "Bearer" not in told
