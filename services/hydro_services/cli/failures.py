"""What a command failed of, as the errors that all services tell."""

from __future__ import annotations

import grpc

from hydro_runtimes.errors import ModelError
from hydro_services import errors
from hydro_services.cli.command import UsageError

_OF_FILES: dict[type[OSError], type[errors.HydroError]] = {
    FileNotFoundError: errors.NotFound,
    PermissionError: errors.PermissionDenied,
}


def expected(error: BaseException) -> errors.HydroError:
    """The error in our own terms; what nobody expected is `Internal`."""
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
        return _OF_FILES.get(type(error), errors.FailedPrecondition)(text)
    return errors.Internal(f"this is a bug ({type(error).__name__}: {error})")
