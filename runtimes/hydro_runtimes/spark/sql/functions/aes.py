"""aes_encrypt and aes_decrypt.

Source: org.apache.spark.sql.catalyst.expressions.{misc, ExpressionImplUtils}, 4.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydro_runtimes.spark.sql.binding import (
    Function,
    constant_of,
    implicit_cast,
    null_on_error,
    row_by_row,
)
from hydro_runtimes.spark.sql.errors import NeedsOtherRows, RowError, StatementError
from hydro_runtimes.spark.sql.mode import Mode
from hydro_runtimes.spark.sql.types import BINARY, STRING
from hydro_runtimes.spark.sql.values import Typed

_TAG = 16


def _aes_function(decrypts: bool, safe: bool = False) -> Function:
    """The function aes_encrypt(data, key, mode, padding, iv, aad); aes_decrypt has no iv."""

    def bind(arguments: Sequence[Typed], mode: Mode) -> Typed:
        cipher_of = _load_cipher()
        takes = [BINARY, BINARY, STRING, STRING] + [BINARY] * (1 if decrypts else 2)
        given = [
            implicit_cast(one, kind, mode) for one, kind in zip(arguments, takes, strict=False)
        ]
        if not decrypts and len(given) < 5 and not _is_ecb(given):
            raise NeedsOtherRows("aes_encrypt(...) without an IV answers by chance, but for ECB")

        def run_cipher(data: bytes, key: bytes, *rest: Any) -> bytes:
            name, padding = rest[0] if rest else "GCM", rest[1] if rest[1:] else "DEFAULT"
            more = rest[2:]
            try:
                return cipher_of(data, key, name.upper(), padding.upper(), more, decrypts)
            except (ValueError, RowError) as error:
                raise RowError(f"INVALID_PARAMETER_VALUE: AES: {error}") from None

        made = row_by_row(run_cipher, given, BINARY)
        return null_on_error(made) if safe else made

    return Function(bind, 2, 5 if decrypts else 6, BINARY)


def _is_ecb(given: Sequence[Typed]) -> bool:
    return len(given) > 2 and str(constant_of(given[2], "the mode")).upper() == "ECB"


def _load_cipher() -> Callable[..., bytes]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives import padding as paddings
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise StatementError(
            "AES needs the package cryptography: pip install 'hydro-serving[mtls]'"
        ) from None

    def apply_cipher(
        data: bytes, key: bytes, name: str, padding: str, more: Sequence[bytes], decrypts: bool
    ) -> bytes:
        if len(key) not in (16, 24, 32):
            raise RowError(f"the key has {len(key)} bytes, want 16, 24 or 32")
        if name not in ("GCM", "CBC", "ECB") or padding not in (
            ("DEFAULT", "NONE") if name == "GCM" else ("DEFAULT", "PKCS")
        ):
            raise RowError(f"the mode {name} with the padding {padding} is not supported")
        iv = (
            b"" if name == "ECB" else (data[: 12 if name == "GCM" else 16] if decrypts else more[0])
        )
        body = data[len(iv) :] if decrypts else data
        if name == "GCM":
            aad = more[0 if decrypts else 1] if len(more) > (0 if decrypts else 1) else b""
            box = AESGCM(key)
            try:
                return box.decrypt(iv, body, aad) if decrypts else iv + box.encrypt(iv, body, aad)
            except InvalidTag:
                raise RowError("the data or the key is not right") from None
        cipher = Cipher(algorithms.AES(key), modes.ECB() if name == "ECB" else modes.CBC(iv))
        block = paddings.PKCS7(128)
        if decrypts:
            turned, open_ = cipher.decryptor(), block.unpadder()
            plain = turned.update(body) + turned.finalize()
            return open_.update(plain) + open_.finalize()
        turned_on, pad = cipher.encryptor(), block.padder()
        padded = pad.update(body) + pad.finalize()
        return iv + turned_on.update(padded) + turned_on.finalize()

    return apply_cipher


AES: Mapping[str, Function] = {
    "aes_decrypt": _aes_function(decrypts=True),
    "aes_encrypt": _aes_function(decrypts=False),
    "try_aes_decrypt": _aes_function(decrypts=True, safe=True),
}
"""By Spark's name."""
