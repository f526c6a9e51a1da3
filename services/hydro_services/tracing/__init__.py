"""Spans of our own processes: made where the work is done, sent to a collector in the background.

`span` (what a span is, and where its parent is found), `zipkin` and `otlp` (how a collector takes
them), `exporter` (the queue, and the task that empties it).
"""

from hydro_services.tracing.exporter import Exporter, export_spans
from hydro_services.tracing.span import Parent, Span, parse_parent

__all__ = ["Exporter", "Parent", "Span", "export_spans", "parse_parent"]
