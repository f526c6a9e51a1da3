from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydro_services.repository.stores.hide_secrets import hide_secrets

SECRETS = st.text("abcXYZ019+/=", min_size=8, max_size=40).filter(lambda text: text.strip("=/+"))
TEXTS = st.text(max_size=20)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        pytest.param("GET https://u:p@host/x failed", "GET https://…@host/x failed", id="user"),
        pytest.param("https://h/x?sig=a%2Bb&se=1: 403", "https://h/x?…", id="query"),
        pytest.param("'https://h/x?token=abc' is away", "'https://h/x?…' is away", id="quoted"),
        pytest.param("no bucket: 'models'", "no bucket: 'models'", id="nothing"),
    ],
)
def test_urls_have_no_credentials(text: str, hidden: str) -> None:
    assert hide_secrets(text, {}).startswith(hidden)


@given(
    SECRETS,
    st.sampled_from(["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD"]),
    TEXTS,
    TEXTS,
)
def test_secrets_of_the_environment_are_never_told(
    secret: str, name: str, before: str, after: str
) -> None:
    assert secret not in hide_secrets(f"{before}{secret}{after}", {name: secret})


@given(SECRETS)
def test_parts_of_a_connection_string_are_never_told(secret: str) -> None:
    value = f"DefaultEndpointsProtocol=https;AccountName=me;AccountKey={secret};"
    told = hide_secrets(f"bad key {secret}.", {"AZURE_STORAGE_CONNECTION_STRING": value})
    assert secret not in told
