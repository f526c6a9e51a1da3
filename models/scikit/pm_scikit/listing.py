"""One listing: what is read from its title and item specifics, before it is compared.

A model code is a word that mixes letters and digits ("sx130", "70d"), or a short word and the
number after it ("wg 2", "mark ii").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Set
from typing import NamedTuple

from .specifics import parse

_UNITS = {
    unit: kind
    for kind, units in {
        "mp": ("mp", "mpix", "megapixel", "megapixels"),
        "inch": ("in", "inch", "inches", '"', "''", "″", "”"),
        "times": ("x",),
        "gb": ("gb", "gigabyte"),
        "tb": ("tb",),
        "mb": ("mb",),
        "mm": ("mm",),
        "cm": ("cm",),
        "foot": ("ft", "foot", "feet"),
        "watt": ("watt", "watts"),
        "mah": ("mah",),
        "ounce": ("oz",),
        "pound": ("lb", "lbs"),
        "pack": ("pk", "pack", "count", "pcs"),
        "port": ("port", "ports"),
        "mhz": ("mhz",),
        "ghz": ("ghz",),
        "hz": ("hz",),
    }.items()
    for unit in units
}
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_TOKENS = re.compile(
    rf"(\d{{1,5}}(?:\.\d{{1,2}}| \d)?)[ -]?({_UNIT})(?![^\W_])"  # 8.2 mp, 8 2 mp, 32gb, 3"
    r"|(\d+\.\d+|[^\W_]+)"
)
_PACK_OF = re.compile(r"\b(?:pack|set|box|case|kit) of (\d{1,4})\b")
_WORDS = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,4})?")
_CORE = re.compile(r"([^\W\d_]*)(\d+)")
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8"}
_COLORS = frozenset(
    _WORDS.findall(
        "black white silver gray grey red blue green pink purple orange yellow gold brown bronze "
        "titanium champagne burgundy violet teal beige charcoal graphite magenta cyan clear lime"
    )
)


class Listing(NamedTuple):
    """What a comparison needs; texts are lower-cased."""

    words: Set[str]
    """Of the title, without measures."""
    ranked: list[tuple[float, str]]
    """The words with their weights, the heaviest first."""
    weight: float
    """Of all words together."""
    joined: str
    """All words of the title in order, without what is between them."""
    edges: Set[int]
    """Where words of `joined` begin or end."""
    numbers: Set[str]
    """Words of the title that are digits."""
    codes: Set[str]
    """Model codes of title, model and part number."""
    named: Set[str]
    """Model codes of model and part number."""
    cores: Set[tuple[str, str]]
    """The first number of each model code, with the letters before it."""
    model: str
    """Letters and digits of the model, or ""."""
    mpn: str
    """Letters and digits of the manufacturer's part number, or ""."""
    ids: Set[str]
    """UPC, EAN and the like without leading zeros, from title and item specifics."""
    brand: str
    """Its first word, or ""."""
    measures: dict[str, set[float]]
    """By unit, from title and item specifics."""
    colors: Set[str]
    price: float
    """0 when not known."""

    def holds(self, name: str) -> bool:
        """Whether `name` is one or more whole, adjacent words of the title."""
        at = self.joined.find(name)
        while at >= 0:
            if at in self.edges and at + len(name) in self.edges:
                return True
            at = self.joined.find(name, at + 1)
        return False


def read(title: str, specifics: str, idf: Mapping[str, float], rarest: float) -> Listing:
    """A listing from its title and item specifics, whatever they hold.

    `idf` weighs words, and `rarest` is the weight of one that is not in it.
    """
    title, entries = _folded(title), parse(_folded(specifics))
    words, measures = _tokens(title)
    distinct = frozenset(words)
    ranked = sorted([(idf.get(word, rarest), word) for word in distinct], reverse=True)
    model, mpn = _words(entries, "model"), _words(entries, "mpn")
    named = _codes(model) | _codes(mpn)
    codes = _codes(words) | named
    numbers = {word for word in distinct if word.isdigit()}
    _add_measures(entries, measures)
    return Listing(
        words=distinct,
        ranked=ranked,
        weight=sum([weight for weight, _ in ranked]),
        joined="".join(words),
        edges=_edges(words),
        numbers=numbers,
        codes=codes,
        named=named,
        cores={(core[1], core[2]) for code in codes if (core := _CORE.search(code))},
        model="".join(model),
        mpn="".join(mpn),
        ids=_ids(entries, numbers),
        brand=next(iter(_words(entries, "brand")), ""),
        measures=measures,
        colors=distinct & _COLORS | _COLORS.intersection(_words(entries, "color")),
        price=_price(entries),
    )


def _folded(text: str) -> str:
    """Lower-cased, with one form for each character, and no accents."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text)
    return "".join([c for c in plain if not unicodedata.combining(c)]).lower()


def _words(entries: dict[str, str], kind: str) -> list[str]:
    return _WORDS.findall(entries[kind]) if kind in entries else []


def _tokens(title: str) -> tuple[list[str], dict[str, set[float]]]:
    """The words of a title in order, and its measures by unit."""
    words: list[str] = []
    measures: dict[str, set[float]] = {}
    for number, unit, word in _TOKENS.findall(title):
        if word:
            words.append(word)
        else:
            measures.setdefault(_UNITS[unit], set()).add(float(number.replace(" ", ".")))
    if " of " in title:
        for count in _PACK_OF.findall(title):
            measures.setdefault("pack", set()).add(float(count))
    return words, measures


def _add_measures(entries: dict[str, str], measures: dict[str, set[float]]) -> None:
    for unit in ("mp", "inch", "times", "gb"):
        if unit in entries and (found := _NUMBER.search(entries[unit])):
            measures.setdefault(unit, set()).add(float(found[0]))


def _codes(words: list[str]) -> set[str]:
    """The model codes among adjacent words."""
    codes: set[str] = set()
    before = ""
    for word in words:
        if word.isalpha() and word not in _ROMAN:
            before = "mark" if word == "mk" else word
            continue
        word = _ROMAN.get(word, word)
        if not word.isdigit():
            codes.add(word)
        elif len(word) < 6 and 0 < len(before) < 7:
            codes.add(before + word)
        before = ""
    return codes


def _edges(words: list[str]) -> set[int]:
    edges, end = {0}, 0
    for word in words:
        end += len(word)
        edges.add(end)
    return edges


def _ids(entries: dict[str, str], numbers: set[str]) -> Set[str]:
    found = [number.lstrip("0") for number in numbers if len(number) > 10]
    for kind in ("upc", "ean"):
        found += [word.lstrip("0") for word in _words(entries, kind) if word.isdigit()]
    return {number for number in found if len(number) > 6}


def _price(entries: dict[str, str]) -> float:
    if "price" not in entries:
        return 0.0
    found = _NUMBER.search(entries["price"].replace(",", "").replace(" ", ""))
    return float(found[0]) if found else 0.0
