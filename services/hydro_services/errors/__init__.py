"""Expected failures, and the form in which a client gets them.

HydroError                something that a user or a peer can correct; the message says how
  NotFound                a pipeline, model, version or file that is not there
  InvalidArgument         a request that can never be answered as it is
  Unauthenticated         the caller has no credentials, or wrong ones
  PermissionDenied        the caller is authenticated but not allowed
  TooLarge                a message or body over the size limit
  RateLimited             more requests than a pipeline takes
  CircuitOpen             a stage has as many requests under way as it may
  OutOfRange              an offset beyond the end of a file
  Aborted                 what the request was based on has changed: read again, try again
  FailedPrecondition      the system has to be changed first, such as a model that is refused
    ModelRefused          a model that cannot be served; wraps hydro_runtimes' ModelError
    ModelSuspended        a model that is not evaluated for a time: it ends its processes
    EnvoyRefused          Envoy did not take the configuration
    CannotConnect         what answers at an address is not trusted, or not the part expected there
    NewerVersion          what was stored is of a newer version of hydro-serving
  NotInTime               it did not happen within the time limit
  Unavailable             a peer does not answer; retrying may help
    Unreachable           nothing listens at its address
  Unimplemented           a method that is not there
    Compressed            a message in an encoding that is not read

Anything else is a bug: the client gets INTERNAL with an id, the log has the traceback.

All errors have one form, on every port. gRPC has it as google.rpc.Status, with an ErrorInfo of
domain "hydro" and a RequestInfo among the details; HTTP as JSON, see `as_json`. A row that failed
has the first four members of that, and its facts beside them, see `row_json`. What Envoy answers
itself gets the same form from hydro_envoy's errors.lua.
"""

from hydro_services.errors.classes import (
    STATUS,
    Aborted,
    CannotConnect,
    CircuitOpen,
    Compressed,
    EnvoyRefused,
    FailedPrecondition,
    HydroError,
    Internal,
    InvalidArgument,
    ModelRefused,
    ModelSuspended,
    NewerVersion,
    NotFound,
    NotInTime,
    OutOfRange,
    PermissionDenied,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unreachable,
    new_internal,
)
from hydro_services.errors.json_form import (
    as_json,
    from_json,
    row_json,
)
from hydro_services.errors.status import (
    DOMAIN,
    MAX_TEXT,
    REQUEST_ID,
    call_status,
    code_name,
    from_rpc,
    from_status,
    make_status,
    to_status,
)

__all__ = [
    "DOMAIN",
    "MAX_TEXT",
    "REQUEST_ID",
    "STATUS",
    "Aborted",
    "CannotConnect",
    "CircuitOpen",
    "Compressed",
    "EnvoyRefused",
    "FailedPrecondition",
    "HydroError",
    "Internal",
    "InvalidArgument",
    "ModelRefused",
    "ModelSuspended",
    "NewerVersion",
    "NotFound",
    "NotInTime",
    "OutOfRange",
    "PermissionDenied",
    "RateLimited",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unreachable",
    "as_json",
    "call_status",
    "code_name",
    "from_json",
    "from_rpc",
    "from_status",
    "make_status",
    "new_internal",
    "row_json",
    "to_status",
]
