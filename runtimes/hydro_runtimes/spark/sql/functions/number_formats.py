"""The functions to_char and to_number, by formats such as $99,999.99S.

Source: org.apache.spark.sql.catalyst.util.ToNumberParser, 4.3.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hydro_runtimes.spark.sql.binding import (
    Function,
    cast_to,
    constant_of,
    implicit_cast,
    row_by_row,
)
from hydro_runtimes.spark.sql.errors import RowError, StatementError
from hydro_runtimes.spark.sql.functions.charsets import CHARSETS
from hydro_runtimes.spark.sql.functions.datetime_texts import DATETIME_TEXTS
from hydro_runtimes.spark.sql.functions.digests import DIGESTS
from hydro_runtimes.spark.sql.functions.number_bases import NUMBER_BASES
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.syntax import FunctionCall, Literal
from hydro_runtimes.spark.sql.types import (
    BINARY,
    DATE,
    STRING,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    SqlType,
    as_decimal,
    decimal_of,
)
from hydro_runtimes.spark.sql.values import Typed

_FORMAT = re.compile(
    r"(?P<first>MI|S)?(?P<dollar>\$)?(?P<whole>[09,G]*)(?:[.D](?P<fraction>[09]*))?"
    r"(?P<last_dollar>\$)?(?P<last>MI|S|PR)?"
)


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A parsed format."""

    text: str
    sign: str
    """S, MI, PR or ""."""
    sign_first: bool
    dollar: bool
    whole: str
    """The digits 0 and 9, and commas, before the point."""
    fraction: str | None

    @property
    def type(self) -> SqlType:
        digits, after = self.whole.replace(",", ""), self.fraction or ""
        return decimal_of(len(digits) + len(after), len(after))

    def format_number(self, number: Decimal) -> str:
        """The text of a number; # in place of all digits if it does not fit."""
        digits, _, after = f"{abs(number):f}".partition(".")
        digits, after = digits.lstrip("0"), after.rstrip("0")
        room = len(self.whole.replace(",", ""))
        if len(digits) > room or len(after) > len(self.fraction or ""):
            return self._overflow_text(number < 0)
        text = self._format_whole(digits.rjust(room))
        if self.fraction is not None:
            # If a sign comes right before the point, there is no room for a 0.
            room_for_zero = text.endswith(" ") and not (self.sign_first and self.sign)
            text = f"{text[:-1]}0" if room_for_zero else text
            text += f".{after.ljust(len(self.fraction), '0')}"
        if self.dollar:
            text = f"${text}"
        return self._add_sign(text, number < 0)

    def _format_whole(self, digits: str) -> str:
        made = ""
        for place, run in enumerate(self.whole.split(",")):
            if place:
                made += "," if made[-1:].isdigit() else " "
            part, digits = digits[: len(run)], digits[len(run) :]
            made += part.replace(" ", "0") if run.startswith("0") else part
        return made

    def _add_sign(self, text: str, negative: bool) -> str:
        blanks = len(text) - len(text.lstrip(" "))
        match self.sign:
            case "PR":
                if not negative:
                    return f"{text}  "
                return f"{text[:blanks]}<{text[blanks:]}>"
            case "S" | "MI":
                sign = "-" if negative else "+" if self.sign == "S" else " "
                if not self.sign_first:
                    return text + sign
                return f"{text[:blanks]}{sign}{text[blanks:]}"
        return text

    def _overflow_text(self, negative: bool) -> str:
        sign = "-" if negative else "+" if self.sign == "S" else " "
        shown = self.text.replace("MI", "S").replace("PR", "")
        changes = {"0": "#", "9": "#", "D": ".", ",": " ", "G": " ", "S": sign}
        text = "".join(changes.get(char, char) for char in shown)
        if self.sign == "PR":
            return f"<{text}>" if negative else f"{text}  "
        return text

    def parse_number(self, text: str) -> Decimal | None:
        """The number of a text; None if it does not follow the format."""
        rest = text.replace(" ", "")
        sign, rest = self._sign_of(rest)
        if sign is None:
            return None
        if self.dollar:
            if not rest.startswith("$"):
                return None
            rest = rest[1:]
        whole, point, after = rest.partition(".")
        if (point and self.fraction is None) or not (whole + after):
            return None
        if not self._fits_whole(whole) or not self._fits_fraction(after):
            return None
        digits = whole.replace(",", "") or "0"
        return Decimal(f"{sign}{digits}.{after or '0'}")

    def _sign_of(self, text: str) -> tuple[str | None, str]:
        if self.sign == "PR":
            if text.startswith("<") and text.endswith(">"):
                return "-", text[1:-1]
            return ("", text) if not set("<>") & set(text) else (None, text)
        if self.sign:
            char = text[:1] if self.sign_first else text[-1:]
            if char == "-" or (char == "+" and self.sign == "S"):
                return char, text[1:] if self.sign_first else text[:-1]
        return "", text

    def _fits_whole(self, whole: str) -> bool:
        groups, wanted = whole.split(","), self.whole.split(",")
        if len(groups) > len(wanted) or not all(g.isdigit() or not g for g in groups):
            return False
        kept = wanted[len(wanted) - len(groups) :]
        if any(group.startswith("0") for group in wanted[: len(wanted) - len(groups)]):
            return False
        first, *others = zip(groups, kept, strict=True)
        if any(len(group) != len(want) for group, want in others):
            return False
        group, want = first
        least = len(want) if want.startswith("0") else 0
        return least <= len(group) <= len(want)

    def _fits_fraction(self, after: str) -> bool:
        want = self.fraction or ""
        least = len(want) if want.startswith("0") else 0
        return (after.isdigit() or not after) and least <= len(after) <= len(want)


def number_format(text: str) -> NumberFormat:
    """Parses a format.

    Raises:
        StatementError: Spark does not accept it.
    """
    upper = text.upper()
    match = _FORMAT.fullmatch(upper)
    digits = "" if match is None else match["whole"] + (match["fraction"] or "")
    runs = [] if match is None else re.split("[,G]", match["whole"])
    is_odd = len(runs) > 1 and not all(runs)
    if (
        match is None
        or is_odd
        or not re.search("[09]", digits)
        or (match["first"] and match["last"])
    ):
        raise StatementError(f"'{text[:60]}' is not a format of numbers, such as '99,999.99S'")
    return NumberFormat(
        upper,
        match["first"] or match["last"] or "",
        bool(match["first"]),
        bool(match["dollar"] or match["last_dollar"]),
        match["whole"].replace("G", ","),
        match["fraction"],
    )


def _format_of(typed: Typed, mode: Mode) -> NumberFormat | None:
    text = constant_of(implicit_cast(typed, STRING, mode), "the format")
    return None if text is None else number_format(text)


def _bind_to_char(arguments: Sequence[Typed], mode: Mode) -> Typed:
    """Binds to_char: for a date or timestamp it is date_format, for bytes base64, hex or decode."""
    child, form = arguments
    if child.type in (DATE, TIMESTAMP, TIMESTAMP_NTZ):
        return DATETIME_TEXTS["date_format"].bind(arguments, mode)
    if child.type == BINARY:
        name = str(constant_of(form, "the format")).lower()
        if name in ("base64", "hex"):
            return (DIGESTS if name == "base64" else NUMBER_BASES)[name].bind([child], mode)
        if name not in ("utf-8", "utf8"):
            raise StatementError(f"the format is {name[:40]!r}, want base64, hex or utf-8")
        return CHARSETS["decode"].bind([child, form], mode)
    number = _format_of(form, mode)
    kind = as_decimal(child.type) if child.type.is_number else decimal_of(38, 18)
    given = [cast_to(implicit_cast(child, kind, mode), kind, mode)]
    return row_by_row(lambda x: None if number is None else number.format_number(x), given, STRING)


def spark_to_char(node: FunctionCall, kind: SqlType) -> FunctionCall:
    """The call that Spark names in place of to_char: date_format for a date."""
    child, form = node.arguments
    if kind in (DATE, TIMESTAMP, TIMESTAMP_NTZ):
        return FunctionCall("date_format", node.arguments)
    if kind == BINARY:
        name = form.value if isinstance(form, Literal) else ""
        of_bytes = name.lower() in ("base64", "hex")
        return (
            FunctionCall(name.lower(), (child,))
            if of_bytes
            else FunctionCall("decode", node.arguments)
        )
    return FunctionCall("to_char", node.arguments)


def _to_number_function(safe: bool) -> Function:
    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        number = _format_of(arguments[1], mode)
        if number is None:
            raise StatementError("the format is null, want a text such as '99,999.99S'")

        def read_number(text: str) -> Decimal | None:
            found = number.parse_number(text)
            if found is None and not safe:
                raise RowError(
                    f"INVALID_FORMAT.MISMATCH_INPUT: {text[:60]!r} does not follow the format "
                    f"'{number.text}'; use try_to_number to get null"
                )
            return found if found is None else found.quantize(step)

        step = Decimal(1).scaleb(-number.type.scale)
        return row_by_row(read_number, [implicit_cast(arguments[0], STRING, mode)], number.type)

    return Function(bind, 2, 2)


NUMBER_FORMATS: Mapping[str, Function] = {
    "to_char": Function(_bind_to_char, 2, 2, STRING),
    "to_number": _to_number_function(safe=False),
    "try_to_number": _to_number_function(safe=True),
}
"""By Spark's name."""
