"""The functions hash and xxhash64, of any values.

Source: org.apache.spark.sql.catalyst.expressions.HashExpression, 4.3.0;
org.apache.spark.unsafe.hash.Murmur3_x86_32; org.apache.spark.sql.catalyst.expressions.XXH64.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydro_runtimes.spark.sql.binding import Function
from hydro_runtimes.spark.sql.decimals import DECIMALS
from hydro_runtimes.spark.sql.errors import StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import INT, LONG, SqlType
from hydro_runtimes.spark.sql.values import Rows, Typed, Value, value_of

_SEED = 42
_32, _64 = 2**32 - 1, 2**64 - 1
"""Masks: Java's ints and longs wrap, Python's integers do not."""
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
"""The primes of XXH64."""


def _rotate_left(x: int, by: int, width: int) -> int:
    return ((x << by) | (x >> (width - by))) & ((1 << width) - 1)


def _mix_murmur(h: int, k: int) -> int:
    """Mixes a word into the hash: mixK1 and mixH1 of Murmur3_x86_32."""
    k = _rotate_left(k * 0xCC9E2D51 & _32, 15, 32) * 0x1B873593 & _32
    return (_rotate_left(h ^ k, 13, 32) * 5 + 0xE6546B64) & _32


def _end_murmur(h: int, length: int) -> int:
    """The last step, fmix: every bit of the input changes every bit of the hash."""
    h ^= length
    h = (h ^ (h >> 16)) * 0x85EBCA6B & _32
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & _32
    return h ^ (h >> 16)


def _murmur_int(value: int, seed: int) -> int:
    return _end_murmur(_mix_murmur(seed, value & _32), 4)


def _murmur_long(value: int, seed: int) -> int:
    h = _mix_murmur(seed, value & _32)
    return _end_murmur(_mix_murmur(h, (value >> 32) & _32), 8)


def murmur_bytes(data: bytes, seed: int) -> int:
    """Spark's variant, hashUnsafeBytes: each byte after the last whole word is mixed as a word.

    It is extended by its sign. Murmur3 itself would pack these bytes into one word.
    """
    whole = len(data) & ~3
    h = seed & _32
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        h = _mix_murmur(h, word)
    for byte in data[whole:]:
        h = _mix_murmur(h, (byte - 256 if byte > 127 else byte) & _32)
    return _end_murmur(h, len(data))


def _end_xx(h: int) -> int:
    h = (h ^ (h >> 33)) * _P2 & _64
    h = (h ^ (h >> 29)) * _P3 & _64
    return h ^ (h >> 32)


def _xx_int(value: int, seed: int) -> int:
    h = (seed + _P5 + 4) & _64
    h ^= (value & _32) * _P1 & _64
    return _end_xx((_rotate_left(h, 23, 64) * _P2 + _P3) & _64)


def _xx_long(value: int, seed: int) -> int:
    h = (seed + _P5 + 8) & _64
    h ^= _rotate_left((value & _64) * _P2 & _64, 31, 64) * _P1 & _64
    return _end_xx((_rotate_left(h, 27, 64) * _P1 + _P4) & _64)


def _xx_bytes(data: bytes, seed: int) -> int:
    at, end = 0, len(data)
    # XXH64: blocks of 32 bytes in four lanes, then whole longs, an int, and single bytes.
    if end >= 32:
        lanes = [(seed + _P1 + _P2) & _64, (seed + _P2) & _64, seed & _64, (seed - _P1) & _64]
        while at <= end - 32:
            for i, word in enumerate(struct.unpack_from("<4Q", data, at)):
                lanes[i] = _rotate_left((lanes[i] + word * _P2) & _64, 31, 64) * _P1 & _64
            at += 32
        h = sum(_rotate_left(v, by, 64) for v, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _64
        for v in lanes:
            h ^= _rotate_left(v * _P2 & _64, 31, 64) * _P1 & _64
            h = (h * _P1 + _P4) & _64
    else:
        h = (seed + _P5) & _64
    h = (h + end) & _64
    while at <= end - 8:
        (word,) = struct.unpack_from("<Q", data, at)
        h ^= _rotate_left(word * _P2 & _64, 31, 64) * _P1 & _64
        h = (_rotate_left(h, 27, 64) * _P1 + _P4) & _64
        at += 8
    if at <= end - 4:
        (word,) = struct.unpack_from("<I", data, at)
        h ^= word * _P1 & _64
        h = (_rotate_left(h, 23, 64) * _P2 + _P3) & _64
        at += 4
    for byte in data[at:]:
        h ^= byte * _P5 & _64
        h = _rotate_left(h, 11, 64) * _P1 & _64
    return _end_xx(h)


_Hashes = tuple[Callable[[int, int], int], Callable[[int, int], int], Callable[[bytes, int], int]]
_MURMUR: _Hashes = (_murmur_int, _murmur_long, murmur_bytes)
_XX: _Hashes = (_xx_int, _xx_long, _xx_bytes)


def _hash_value(kind: SqlType, value: Any, seed: int, hashes: _Hashes) -> int:
    """The hash of a value, whose seed is the hash of the value before it; null leaves the seed."""
    if value is None:
        return seed
    of_int, of_long, of_bytes = hashes
    if kind.is_months or kind.is_micros:
        return (of_int if kind.is_months else of_long)(value, seed)
    match kind.name:
        case "boolean":
            return of_int(int(value), seed)
        case "tinyint" | "smallint" | "int" | "date":
            return of_int(value, seed)
        case "bigint" | "timestamp" | "timestamp_ntz":
            return of_long(value, seed)
        case "float":
            return of_int(struct.unpack("<i", struct.pack("<f", _canonical_double(value)))[0], seed)
        case "double":
            return of_long(
                struct.unpack("<q", struct.pack("<d", _canonical_double(value)))[0], seed
            )
        case "string":
            return of_bytes(value.encode(), seed)
        case "binary":
            return of_bytes(value, seed)
        case "decimal":
            return _hash_decimal(kind, value, seed, hashes)
        case "array":
            # The hash of an element is the seed of the next one.
            for one in value:
                seed = _hash_value(kind.parts[0], one, seed, hashes)
            return seed
        case "struct":
            for part, one in zip(kind.parts, value, strict=True):
                seed = _hash_value(part, one, seed, hashes)
            return seed
    raise StatementError(f"{kind} has no hash")


def _canonical_double(value: float) -> float:
    """The only NaN of Double.doubleToLongBits, and 0.0 for -0.0, which Spark hashes alike."""
    return math.nan if math.isnan(value) else value + 0.0


def _hash_decimal(kind: SqlType, value: Decimal, seed: int, hashes: _Hashes) -> int:
    # Up to 18 digits fit a long. More are hashed as BigInteger.toByteArray: big-endian, and as few
    # bytes as hold the number with its sign.
    unscaled = int(value.scaleb(kind.scale, DECIMALS))
    if kind.precision <= 18:
        return hashes[1](unscaled, seed)
    length = (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1
    return hashes[2](unscaled.to_bytes(length, "big", signed=True), seed)


def _hash_function(hashes: _Hashes, gives: SqlType, width: int) -> Function:
    half = 1 << (width - 1)

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        kinds = [one.type for one in arguments]
        if any(part.name == "map" for kind in kinds for part in (kind, *kind.parts)):
            raise StatementError("a map has no hash")

        def evaluate(rows: Rows) -> Value:
            columns = [one.evaluate(rows).to_list() for one in arguments]
            made = []
            for row in range(rows.count):
                found = _SEED
                for kind, column in zip(kinds, columns, strict=True):
                    found = _hash_value(kind, column[row], found, hashes)
                # Signed, as an int or long of Java.
                made.append((found + half) % (2 * half) - half)
            return value_of(gives, made)

        return Typed(gives, evaluate, all(one.foldable for one in arguments))

    return Function(bind, 1, 1000, gives)


HASHES: Mapping[str, Function] = {
    "hash": _hash_function(_MURMUR, INT, 32),
    "xxhash64": _hash_function(_XX, LONG, 64),
}
"""By Spark's name."""
