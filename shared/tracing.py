"""Spans that join an HTTP request, the queue messages it leads to, and their calls.

A message carries the span it was sent in, so that a run is one trace from the click to the last
call. Attributes are ids, positions and codes; errors are noted by their codes.
https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.errors import ExportError

Span = AbstractContextManager[None]

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("segments-to-constant-contact")


def here() -> str | None:
    """Return the ``traceparent`` of the current span, or None if there is none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def request_span(name: str, traceparent: str | None) -> Span:
    """Return a span for an HTTP request: below the host's, or else below the caller's."""
    return _span(name, SpanKind.SERVER, None if here() else traceparent)


def step_span(name: str, traceparent: str | None, **attributes: str | int) -> Span:
    """Return a span for a queue message, below the one that it was sent in."""
    return _span(name, SpanKind.CONSUMER, traceparent, **attributes)


def call_span(name: str, **attributes: str | int) -> Span:
    """Return a span for a call to another service."""
    return _span(name, SpanKind.CLIENT, None, **attributes)


@contextmanager
def _span(name: str, kind: SpanKind, parent: str | None, **attributes: str | int) -> Iterator[None]:
    context = _propagator.extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            code = error.code if isinstance(error, ExportError) else type(error).__name__
            span.set_attribute("error.type", code)
            span.set_status(StatusCode.ERROR, code)
            raise
