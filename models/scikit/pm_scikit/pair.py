"""Two listings: how alike they are, as numbers.

Every feature stays the same when the two listings change places. A feature of something that one
of them lacks is -1 (MISSING), which trees tell apart from 0.
"""

from __future__ import annotations

from collections.abc import Set

from .listing import Listing

MISSING = -1.0

FEATURES = (
    # words of the titles
    "words_jaccard",
    "words_containment",
    "words_count_min",
    "words_count_max",
    "words_jaccard_idf",
    "words_containment_idf",
    "words_rarest_shared",
    "words_rarest_unshared_min",
    "words_rarest_unshared_max",
    "numbers_jaccard",
    "numbers_unshared",
    # model codes
    "codes_jaccard",
    "codes_containment",
    "codes_unshared_min",
    "codes_unshared_max",
    "codes_longest_shared",
    "codes_longest_core",
    "cores_containment",
    "cores_same_letters",
    "cores_same_number",
    # models, part numbers, ids, brands
    "model_equal",
    "model_prefix",
    "model_in_other",
    "named_containment",
    "mpn_equal",
    "mpn_in_other",
    "ids_equal",
    "brand_equal",
    "brand_in_other",
    # measures, colours, prices
    "measures_agree",
    "measures_conflict",
    "megapixels_ratio",
    "color_agree",
    "price_ratio",
)
"""The names of the features, in order."""


def compare(a: Listing, b: Listing) -> tuple[float, ...]:
    """The features of a pair, in the order of FEATURES; all are finite."""
    return (*_words(a, b), *_codes(a, b), *_names(a, b), *_measures(a, b))


def _words(a: Listing, b: Listing) -> tuple[float, ...]:
    words_a, words_b = a.words, b.words
    shared = [weight for weight, word in a.ranked if word in words_b]
    rarest_a, rarest_b = _rarest(a, words_b), _rarest(b, words_a)
    count, count_a, count_b = len(shared), len(words_a), len(words_b)
    weight, lighter = sum(shared), min(a.weight, b.weight)
    return (
        count / (count_a + count_b - count or 1),
        count / (min(count_a, count_b) or 1),
        min(count_a, count_b),
        max(count_a, count_b),
        weight / (a.weight + b.weight - weight or 1.0),
        weight / (lighter or 1.0),
        shared[0] if shared else 0.0,
        min(rarest_a, rarest_b),
        max(rarest_a, rarest_b),
        _overlap(a.numbers, b.numbers)[0],
        len(a.numbers ^ b.numbers),
    )


def _rarest(listing: Listing, others: Set[str]) -> float:
    """The weight of the heaviest word that is not among the others."""
    for weight, word in listing.ranked:
        if word not in others:
            return weight
    return 0.0


def _codes(a: Listing, b: Listing) -> tuple[float, ...]:
    shared = a.codes & b.codes
    only_a = [code for code in a.codes - shared if not b.holds(code)]
    only_b = [code for code in b.codes - shared if not a.holds(code)]
    count_a, count_b = len(a.codes), len(b.codes)
    found_a, found_b = count_a - len(only_a), count_b - len(only_b)
    both = count_a > 0 and count_b > 0
    return (
        (found_a + found_b) / (count_a + count_b) if both else MISSING,
        max(found_a / count_a, found_b / count_b) if both else MISSING,
        min(len(only_a), len(only_b)),
        max(len(only_a), len(only_b)),
        max(map(len, shared)) if shared else 0,
        _longest_core(only_a, only_b),
        *_cores(a.cores, b.cores),
    )


def _longest_core(a: list[str], b: list[str]) -> int:
    """The length of the longest code that is one of the other listing but for letters around it.

    Such as "lx7" of "dmclx7k": a series before it, a colour after it.
    """
    longest = 0
    for x in a:
        for y in b:
            core, code = (x, y) if len(x) < len(y) else (y, x)
            if core in code and code.replace(core, "", 1).isalpha():
                longest = max(longest, len(core))
    return longest


def _cores(a: Set[tuple[str, str]], b: Set[tuple[str, str]]) -> tuple[float, float, float]:
    """Containment, and among the others: the letters, and the numbers, that both have."""
    if not a or not b:
        return MISSING, MISSING, MISSING
    shared = a & b
    only_a, only_b = a - shared, b - shared
    if not only_a or not only_b:
        return len(shared) / min(len(a), len(b)), 0.0, 0.0
    letters = {x for x, _ in only_a} & {x for x, _ in only_b}
    numbers = {x for _, x in only_a} & {x for _, x in only_b}
    return len(shared) / min(len(a), len(b)), len(letters), len(numbers)


def _names(a: Listing, b: Listing) -> tuple[float, ...]:
    return (
        _equal(a.model, b.model),
        _prefix(a.model, b.model),
        _found(a.model, b.model, a, b),
        _overlap(a.named, b.named)[1],
        _equal(a.mpn, b.mpn),
        _found(a.mpn, b.mpn, a, b),
        float(not a.ids.isdisjoint(b.ids)) if a.ids and b.ids else MISSING,
        _equal(a.brand, b.brand),
        _found(a.brand, b.brand, a, b),
    )


def _equal(a: str, b: str) -> float:
    return float(a == b) if a and b else MISSING


def _prefix(a: str, b: str) -> float:
    """The share of the longer name with which both begin."""
    if not a or not b:
        return MISSING
    same, shortest = 0, min(len(a), len(b))
    while same < shortest and a[same] == b[same]:
        same += 1
    return same / max(len(a), len(b))


def _found(name_a: str, name_b: str, a: Listing, b: Listing) -> float:
    """The share of the names that the other listing has in its title or as a name of its own."""
    if not name_a and not name_b:
        return MISSING
    hits = _has(b, name_a) + _has(a, name_b)
    return hits / ((name_a != "") + (name_b != ""))


def _has(listing: Listing, name: str) -> bool:
    if not name:
        return False
    return name in (listing.model, listing.mpn, listing.brand) or listing.holds(name)


def _measures(a: Listing, b: Listing) -> tuple[float, ...]:
    agree = conflict = 0
    for unit, values in a.measures.items():
        if unit in b.measures:
            if values.isdisjoint(b.measures[unit]):
                conflict += 1
            else:
                agree += 1
    return (
        agree,
        conflict,
        _megapixels(a, b) if "mp" in a.measures and "mp" in b.measures else MISSING,
        float(not a.colors.isdisjoint(b.colors)) if a.colors and b.colors else MISSING,
        min(a.price, b.price) / max(a.price, b.price) if a.price and b.price else MISSING,
    )


def _megapixels(a: Listing, b: Listing) -> float:
    """The ratio of the two nearest numbers of megapixels."""
    ours, theirs = a.measures["mp"], b.measures["mp"]
    if not ours.isdisjoint(theirs):
        return 1.0
    return max([min(x, y) / max(x, y) for x in ours for y in theirs])


def _overlap(a: Set[str], b: Set[str]) -> tuple[float, float]:
    """Jaccard index, and containment in the smaller set; MISSING where a set is empty."""
    if not a or not b:
        return MISSING, MISSING
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared), shared / min(len(a), len(b))
