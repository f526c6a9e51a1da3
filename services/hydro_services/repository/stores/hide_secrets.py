"""Messages of libraries without what is secret in them. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_USER = re.compile(r"(?<=://)[^\s/@'\"]*@")
_QUERY = re.compile(r"(?<=[\w/])\?[^\s'\"<>)]*=[^\s'\"<>)]*")
"""Of an URL: that of a presigned one is a key."""
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|CONNECTION_STRING|_SAS")
_FIELD = re.compile(r"[;&\s]+")
"""Between `key=value` of a connection string."""
_SHORTEST = 6
"""Characters of a value that is taken for a secret."""
_HIDDEN = "…"


def hide_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without users and queries of URLs, and without secrets of the environment.

    Args:
        text: of any library.
        environment: variables whose names tell of secrets; parts of a connection string count, too.
    """
    text = _QUERY.sub("?" + _HIDDEN, _USER.sub(_HIDDEN + "@", text))
    for name, value in environment.items():
        if _SECRET_NAME.search(name.upper()):
            fields = _FIELD.split(value)
            secrets = {value, *fields, *(field.partition("=")[2] for field in fields)}
            for secret in sorted(secrets, key=len, reverse=True):
                if len(secret) >= _SHORTEST:
                    text = text.replace(secret, _HIDDEN)
    return text
