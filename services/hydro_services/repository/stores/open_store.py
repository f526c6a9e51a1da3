"""Which store an URL names."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from hydro_services.repository.roots import Root
from hydro_services.repository.stores.fsspec_stores import AzureStore, GoogleStore, S3Store
from hydro_services.repository.stores.hub_store import HubStore
from hydro_services.repository.stores.mlflow_store import MlflowStore
from hydro_services.repository.stores.oci_store import OciStore
from hydro_services.repository.stores.store import ModelStore
from hydro_services.repository.stores.store_source import StoreSource

_STORES: dict[str, Callable[[str], ModelStore]] = {
    "s3": S3Store,
    "gs": GoogleStore,
    "az": AzureStore,
    "hf": HubStore,
    "oci": OciStore,
    "models": MlflowStore,
}
_LOGGERS = (
    *("adlfs", "aiobotocore", "aiohttp", "asyncio", "azure", "botocore", "filelock", "fsspec"),
    *("gcsfs", "google", "httpcore2", "httpx2", "huggingface_hub", "mlflow", "msal", "oras"),
    *("requests_oauthlib", "s3fs", "urllib3"),
)
"""Of the libraries."""


def open_store(root: Root, folder: Path, limit_bytes: int) -> StoreSource:
    """The source of a root that is a store; nothing is asked of the store.

    Args:
        root: where its models are.
        folder: for the copies of all stores, made if need be.
        limit_bytes: what the copies of one store may take.
    """
    silence_libraries()
    own = hashlib.sha256(root.text.encode()).hexdigest()[:16]
    home = (root.scheme, root.name)
    return StoreSource(make_store(root.scheme, root.place), home, folder / own, limit_bytes)


def make_store(scheme: str, place: str) -> ModelStore:
    """The store of a kind, below a place; nothing is asked of it."""
    return _STORES[scheme](place)


def silence_libraries() -> None:
    """What they log has URLs and headers, and so credentials; what fails is told by who asked."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
