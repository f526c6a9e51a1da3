"""Item specifics: `'Key': ' Value'; 'Key': ' Value'`, as sellers' forms give them."""

from __future__ import annotations

_NAMES = {
    "brand": "brand, manufacturer, brand name, designer/brand",
    "model": "model, model number, model name, model no., modelno, item model number",
    "mpn": "mpn, product number mpn, manufacturer part number, part number, catalog number",
    "upc": "upc",
    "ean": "ean, ean-13, ean-14, gtin, isbn",
    "price": "price, retail price, list price",
    "color": "color, colour, main color",
    "mp": "megapixels, megapixel, effective pixels, effective megapixels, camera resolution",
    "inch": "screen size, lcd screen size, lcd size, lcd display size inches, display size",
    "times": "optical zoom, zoom",
    "gb": "storage capacity, capacity, memory, hard drive capacity",
}
"""What is read, and the names that shops use for it, lower-cased."""
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split(", ")}
_ABSENT = frozenset(
    [
        "does not apply",
        "doesn't apply",
        "not applicable",
        "n/a",
        "na",
        "none",
        "no",
        "unknown",
        "unbranded",
        "generic",
        "not specified",
        "see details",
        "null",
        "nan",
        "-",
        "--",
        "",
    ]
)
"""Values that say nothing."""


def parse(text: str) -> dict[str, str]:
    """The entries of a lower-cased text that are compared, by kind (brand, model, mpn, ...).

    An entry ends at `';`, and its name at `':`, as in the training data and in requests; what has
    another form is skipped. The first of several entries of a kind stands. Quotes at the end of a
    value go, inside it they stay.
    """
    entries: dict[str, str] = {}
    for entry in text.split("';"):
        name, _, value = entry.partition("':")
        kind = _KINDS.get(name.strip(" ;'"))
        if kind is not None and kind not in entries:
            value = value.strip(" '")
            if value not in _ABSENT:
                entries[kind] = value
    return entries
