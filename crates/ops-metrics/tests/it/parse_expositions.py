"""Reads expositions from stdin, and answers each with one line of JSON: what the reference parsers make of it.

A frame is "<format> <bytes>\n" and the bytes, where format is "text" or "openmetrics".
"""

import json
import re
import sys

from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as openmetrics_parser

PARSERS = {
    "text": text_parser.text_string_to_metric_families,
    "openmetrics": openmetrics_parser.text_string_to_metric_families,
}


# the parser of the text format appends _total to counter samples without it
WITHOUT_TOTAL = re.compile(r"^(# TYPE \S+(?<!_total)) counter$", re.MULTILINE)


def parse(format, exposition):
    if format == "text":
        exposition = WITHOUT_TOTAL.sub(r"\1 untyped", exposition)
    samples = []
    families = {}
    for family in PARSERS[format](exposition):
        families[family.name] = [family.type, family.documentation, family.unit]
        for sample in family.samples:
            exemplar = sample.exemplar and [sample.exemplar.labels, sample.exemplar.value]
            samples.append([sample.name, sample.labels, repr(float(sample.value)), exemplar])
    return {"samples": samples, "families": families}


for head in sys.stdin.buffer:
    format, size = head.decode().split()
    exposition = sys.stdin.buffer.read(int(size)).decode("utf-8")
    try:
        answer = parse(format, exposition)
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
