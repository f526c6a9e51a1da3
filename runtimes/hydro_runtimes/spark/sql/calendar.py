"""Days, months and years of the proleptic Gregorian calendar, for any year.

Python's datetime is limited to the years from 1 to 9999, and Spark's arithmetic is not.
Source: java.time.LocalDate.
"""

from __future__ import annotations

DAY = 86_400_000_000
"""Microseconds."""
MIN_DAY, MAX_DAY = -(2**31), 2**31 - 1


def days_of(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; the day may lie outside of its month."""
    # Years start in March, so that a leap day is the last. An era of 400 years has 146097 days;
    # (153 * m + 2) // 5 is the number of days before month m, counted from March; 719468 days lie
    # between 0000-03-01 and 1970-01-01.
    # Source: H. Hinnant, chrono-Compatible Low-Level Date Algorithms.
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def date_of(days: int) -> tuple[int, int, int]:
    """Year, month (1 to 12) and day of days since 1970-01-01."""
    days += 719468  # the inverse of `days_of`
    era = days // 146097
    of_era = days - era * 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def is_date(year: int, month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= month_length(year, month)


def add_months(days: int, months: int) -> int:
    """The same day of another month, or its last day if the month is shorter."""
    year, month, day = date_of(days)
    total = year * 12 + month - 1 + months
    year, month = total // 12, total % 12 + 1
    return days_of(year, month, min(day, month_length(year, month)))


def weekday_of(days: int) -> int:
    """0 for Monday to 6 for Sunday."""
    return (days + 3) % 7


def day_of_year(days: int) -> int:
    year, _, _ = date_of(days)
    return days - days_of(year, 1, 1) + 1


def iso_week(days: int) -> tuple[int, int]:
    """Year and number (from 1) of the ISO week."""
    thursday = days - weekday_of(days) + 3
    year, _, _ = date_of(thursday)
    return year, (thursday - days_of(year, 1, 1)) // 7 + 1
