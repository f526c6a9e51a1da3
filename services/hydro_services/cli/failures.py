"""Why a command failed, as one of the errors that all services tell."""

from __future__ import annotations

import grpc

from hydro_runtimes.errors import ModelError
from hydro_services import errors
from hydro_services.cli.usage import UsageError

_BY_OS_ERROR: dict[type[OSError], type[errors.HydroError]] = {
    FileNotFoundError: errors.NotFound,
    PermissionError: errors.PermissionDenied,
}


def to_hydro_error(error: BaseException) -> errors.HydroError:
    """An error that is not expected becomes `Internal`."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]  # of a task of a group
    if isinstance(error, errors.HydroError):
        return error
    if isinstance(error, UsageError):
        return errors.InvalidArgument(str(error))
    if isinstance(error, ModelError):
        return errors.ModelRefused(str(error))
    if isinstance(error, grpc.RpcError):
        return errors.from_rpc(error)
    if isinstance(error, OSError):
        text = f"{error.filename or 'system'}: {(error.strerror or str(error)).lower()}"
        return _BY_OS_ERROR.get(type(error), errors.FailedPrecondition)(text)
    return errors.Internal(f"this is a bug ({type(error).__name__}: {error})")
