"""A log line in a Python service: structlog with json or orjson, with bound context, written to memory.

    python structlog_lines.py json|orjson

For each line on standard input it logs a block of events and prints the nanoseconds that one took, on the processor's
time of the process.
"""

import io
import sys
import time

import orjson
import structlog
from structlog.contextvars import bind_contextvars, merge_contextvars

BLOCK = 5000


def configured(renderer):
    processors = [
        merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if renderer == "orjson":
        processors.append(structlog.processors.JSONRenderer(serializer=orjson.dumps))
        memory = io.BytesIO()
        factory = structlog.BytesLoggerFactory(memory)
    else:
        processors.append(structlog.processors.JSONRenderer())
        memory = io.StringIO()
        factory = structlog.WriteLoggerFactory(memory)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger().bind(logger="api"), memory


def block(log):
    started = time.process_time_ns()
    for _ in range(BLOCK):
        log.info(
            "request_completed",
            method="GET",
            path="/api/registry/models",
            status=200,
            latency_ms=45,
            user_id=456,
            cached=False,
            bytes=18324,
            ratio=0.75,
            region="eu-central-1",
            agent="k6/1.1.0",
        )
    return (time.process_time_ns() - started) / BLOCK


def main(renderer):
    log, memory = configured(renderer)
    bind_contextvars(request_id="req-abc123", trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    block(log)
    for _ in sys.stdin:
        memory.seek(0)
        memory.truncate()
        print(block(log), flush=True)


main(sys.argv[1])
