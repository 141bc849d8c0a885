"""What every command of the command line shares: its options, its progress bar, its exit codes."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

RESEARCH_USE = "Research use only: not a medical device, not for diagnosis or treatment."
INSTALL_DEEP = "pip install 'crt-twin[deep]'"

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write into.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Edge = Annotated[float | None, typer.Option("--edge-mm", metavar="MM", help="Edge length of the mesh.")]


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr; where that is no terminal, a line per step."""
    with typer.progressbar(length=1, file=sys.stderr, hidden=True) as bar:

        def told(done: int, total: int, what: str) -> None:
            bar.hidden, bar.label, bar.length = quiet, what, total
            bar.update(done - bar.pos)
            bar.render_progress()

        yield told


@contextmanager
def exit_codes(quiet: bool) -> Iterator[None]:
    """Log to stderr; turn what may go wrong into one line and the exit code that scripts rely on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("crt-twin")
    log.addHandler(handler)
    log.propagate = False  # a reader that logs gives the root logger a handler of its own: lines would come twice
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    from twin.planning.errors import InputError, SettingsError

    # A batch system that stops a job sends SIGTERM: leave as after Ctrl-C, with nothing half-written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except SettingsError as fault:
        code, message = 2, str(fault)
    except InputError as fault:
        code, message = 3, str(fault)
    except ImportError as fault:
        message = str(fault)
        code = 4
        if "pip install" not in message:
            message += ": install crt-twin again, with the extra that the command needs"
    except OSError as fault:
        code, message = 4, f"{fault.filename or 'the system'}: {fault.strerror or fault}"
    except KeyboardInterrupt:
        code, message = 130, "interrupted; nothing half-written was left"
    else:
        return
    finally:
        log.removeHandler(handler)
        log.propagate = True
    for line in message.splitlines():
        typer.echo(f"crt-twin: {line}", err=True)
    raise typer.Exit(code)
