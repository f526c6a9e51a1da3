"""Figures as Markdown tables, and as ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (  # heading, workload, figure, digits
    ("1: req/s", "a1", "requests_per_s", 0),
    ("p50 ms", "a1", "p50_ms", 2),
    ("p99 ms", "a1", "p99_ms", 2),
    ("32: req/s", "a32", "requests_per_s", 0),
    ("p50 ms", "a32", "p50_ms", 1),
    ("p99 ms", "a32", "p99_ms", 1),
    ("1,000 x 1: rows/s", "b1", "rows_per_s", 0),
    ("x 4: rows/s", "b4", "rows_per_s", 0),
    ("stream: rows/s", "c", "rows_per_s", 0),
)
CPU = (  # heading, workload, unit of a millisecond
    ("32: ms a request", "a32", 1),
    ("1,000 x 4: ms a request", "b4", 1),
    ("stream: us a row", "c", 1000),
)


def text(figures: Mapping[str, Any]) -> str:
    """All tables."""
    named = {name: found for name, found in figures.items() if isinstance(found, Mapping)}
    served = {name: found for name, found in named.items() if not name.startswith("in-process ")}
    rows = [[name, *(_cell(found, *c[1:]) for c in COLUMNS)] for name, found in named.items()]
    parts = [
        table(["", *(heading for heading, *_ in COLUMNS)], rows),
        table(["CPU", *(h for h, *_ in CPU), "RSS MB", "PSS MB"], _cpu(served)),
        table(["ratio", "is", "goal"], ratios(figures)),
        f"load average: {figures['load_average']:.1f}",
    ]
    return "\n\n".join(parts)


def _cpu(served: Mapping[str, Any]) -> list[list[str]]:
    """A line for each process, and one for all of a pipeline or of a peer."""
    lines = []
    for name, found in served.items():
        cpu = [found.get(workload, {}).get("cpu_ms", {}) for _, workload, _ in CPU]
        for part in (*(part for part in cpu[0] if part != "all"), "all"):
            memory = found["memory"].get(part, {})
            sizes = [_number(memory.get(size), 0) for size in ("rss_mb", "pss_mb")]
            units = [unit for *_, unit in CPU]
            spent = [_spent(each.get(part), u) for each, u in zip(cpu, units, strict=True)]
            lines.append([f"{name}: {part}", *spent, *sizes])
    return lines


def _spent(ms: float | None, unit: int) -> str:
    return _number(None if ms is None else ms * unit, _DIGITS[unit])


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


_DIGITS = {1: 3, 1000: 0}


def ratios(figures: Mapping[str, Any]) -> list[list[str]]:
    """What is to be reached, of the trivial stages, beside what the same run measured."""
    ours, bound = figures.get("hydro trivial"), figures.get("in-process trivial")
    if not ours or not bound:
        return []
    others = {
        name: found["a32"]
        for name, found in figures.items()
        if isinstance(found, Mapping)
        and not name.startswith(("hydro ", "in-process "))
        and "requests_per_s" in found.get("a32", {})
    }
    rate, cpu = ours["a32"]["requests_per_s"], ours["a32"]["cpu_ms"]["all"]
    beside = [
        [f"requests/s at 32, to {name}", f"{rate / found['requests_per_s']:.2f}", "> 1"]
        for name, found in others.items()
    ]
    beside += [
        [f"CPU a request at 32, to {name}", f"{cpu / found['cpu_ms']['all']:.2f}", "< 1"]
        for name, found in others.items()
    ]
    rows = ours["b4"]["rows_per_s"]
    return [
        *beside,
        ["p50 ms at 1", f"{ours['a1']['p50_ms']:.2f}", "<= 2.0"],
        ["stream, rows/s", f"{ours['c']['rows_per_s']:,.0f}", ">= 5,000"],
        ["1,000 x 4, to in-process", f"{rows / bound['b1']['rows_per_s']:.2f}", ">= 0.60"],
        [
            "1,000 x 4, to in-process without JSON",
            f"{rows / bound['b1']['columns_rows_per_s']:.2f}",
            "",
        ],
    ]


def _cell(found: Mapping[str, Any], workload: str, figure: str, digits: int) -> str:
    return _number(found.get(workload, {}).get(figure), digits)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [headings, ["---", *("--:" for _ in headings[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
