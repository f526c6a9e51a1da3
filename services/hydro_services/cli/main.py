"""Runs the command that the words name, and turns failures into exit codes.

Those are 0: done; 1: it failed, or some rows did; 2: the command line makes no sense; 3: the part
that was to be called could not be reached; 130: Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hydro_services.cli.parser import parse
from hydro_services.cli.usage import UsageError

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """The command `hydro`."""
    _open_standard_streams()
    words = sys.argv[1:] if argv is None else argv
    try:
        return _run_command(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough; else Python would fail again at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return _report_failure(error, "--json" in words)


def _run_command(words: Sequence[str]) -> int:
    command, options = parse(words)
    from hydro_services.cli.output import Output  # help does not need it

    return command.run(options, Output(options.json))


def _open_standard_streams() -> None:
    """Opens those that are closed: else the next file or connection would become one of them."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            os.set_inheritable(fd, True)
            setattr(sys, name, os.fdopen(fd, "w" if fd else "r", closefd=False))


def _report_failure(error: Exception, as_json: bool) -> int:
    """Tells of a failure and the way out; of a bug without its traceback."""
    from hydro_services.cli.output import Output

    output = Output(as_json)
    if isinstance(error, UsageError) and not as_json:  # errors import gRPC, which takes a while
        output.error(str(error))
        return USAGE
    from hydro_services import errors
    from hydro_services.cli.failures import to_hydro_error
    from hydro_services.up.process import NEWER_VERSION

    known = to_hydro_error(error)
    if isinstance(known, errors.Internal) and known is not error:
        if os.environ.get("HYDRO_DEBUG"):
            raise error
        known.message += "; run again with HYDRO_DEBUG=1 and report it"
    output.error(known.message, errors.as_json(errors.to_status(known)))
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(known, errors.NewerVersion):
        return NEWER_VERSION
    is_away = isinstance(known, errors.Unreachable | errors.CannotConnect)
    return UNREACHABLE if is_away else FAILED


if __name__ == "__main__":
    sys.exit(main())
