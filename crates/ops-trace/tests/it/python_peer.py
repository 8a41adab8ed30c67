"""The other side of python.rs: one line of JSON in, one line of JSON out."""

import json
import sys

from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.b3 import B3MultiFormat, B3SingleFormat
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

FORMATS = {
    "tracecontext": TraceContextTextMapPropagator,
    "baggage": W3CBaggagePropagator,
    "b3": B3SingleFormat,
    "b3multi": B3MultiFormat,
}


def propagator(names):
    return CompositePropagator([FORMATS[name]() for name in names.split(",")])


def send(request):
    """Starts a span with baggage, and returns its ids and the headers of a child request."""
    sampler = ALWAYS_ON if request["sampled"] else ALWAYS_OFF
    tracer = TracerProvider(sampler=sampler).get_tracer("peer")
    context = None
    for key, value in request["baggage"].items():
        context = baggage.set_baggage(key, value, context)
    with tracer.start_as_current_span("python", context) as span:
        context, headers = trace.set_span_in_context(span, context), {}
        propagator(request["formats"]).inject(headers, context)
    return {**ids(span.get_span_context()), "headers": headers}


def receive(request):
    """Returns the context in these headers."""
    context = propagator(request["formats"]).extract(request["headers"])
    of_span = trace.get_current_span(context).get_span_context()
    state = dict(of_span.trace_state)
    return {**ids(of_span), "baggage": dict(baggage.get_all(context)), "state": state}


def ids(context):
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
        "sampled": context.trace_flags.sampled,
    }


for line in sys.stdin:
    request = json.loads(line)
    answer = {"send": send, "receive": receive}[request["do"]](request)
    print(json.dumps(answer), flush=True)
