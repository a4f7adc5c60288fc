"""The command `seraser`."""

from __future__ import annotations

import importlib.metadata
import io
import logging
import os
import sys
from typing import Any

import typer
from rich.logging import RichHandler
from typer.core import TyperGroup

from seraser_core.cli import report
from seraser_core.cli.commands import COMMANDS
from seraser_core.cli.console import begin_command, errors, print_markdown, say_error
from seraser_core.cli.interrupts import interruptible
from seraser_core.cli.waits import Waits
from seraser_core.errors import HINT, ConfigError, SeraserError
from seraser_core.proxies import prepare
from seraser_core.redaction import redact_logs
from seraser_core.waiting import watching_waits

logger = logging.getLogger(__name__)
FAILED, BAD_CONFIG = 1, 2


class Commands(TyperGroup):
    """Turns the errors that are meant for people into a message and an exit code."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Parse what stands before the name of the command; 2 when it cannot be used."""
        try:
            begin_command(args)
            return super().make_context(info_name, args, *rest, **extra)
        except typer.TyperException as error:
            if not error.format_message() or getattr(error, "ctx", None) is None:
                raise
            _say_misused(error)
            raise typer.Exit(BAD_CONFIG) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command; 1 when it failed, 2 when its configuration cannot be used."""
        try:
            with interruptible(), watching_waits(Waits(errors)):
                return super().invoke(ctx)
        except ConfigError as error:
            say_error("configuration", str(error))
            raise typer.Exit(BAD_CONFIG) from None
        except SeraserError as error:
            say_error("failed", str(error))
            raise typer.Exit(FAILED) from None
        except (typer.Exit, typer.Abort):
            raise
        except typer.TyperException as error:
            _say_misused(error)
            raise typer.Exit(BAD_CONFIG) from None
        except Exception:  # a defect: its traceback is logged, without the keys that texts may hold
            logger.exception("unexpected error")
            raise typer.Exit(FAILED) from None


def _say_misused(error: typer.TyperException) -> None:
    """Print what is wrong with a command line, the nearest names, and where its help is."""
    what, _, near = error.format_message().partition(" Did you mean ")
    what, _, options = what.partition(" (Possible options: ")
    hint = near.rstrip("?") or options.rstrip(")")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "seraser"
    hints = [f"did you mean {hint}?"] if hint else []
    hints.append(f"`{path} --help` shows how it is used")
    say_error("command line", "\n".join([what, *(f"{HINT}{one}" for one in hints)]))


app = typer.Typer(
    name="seraser",
    cls=Commands,
    help="Erase decision shortcuts of CLIP models at test time, over large image data sets. "
    "RUN is a run directory, a local path or a URL. Exit codes: 0 done, 1 failed or problems "
    "found, 2 the configuration or the command line cannot be used, 130 or 143 interrupted.",
    epilog="`seraser COMMAND --help` shows examples. First: seraser demo",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for command in COMMANDS:
    app.command(rich_help_panel=command.task, epilog=command.epilog)(command.do)
app.command("summary", hidden=True)(report.report)  # its name before 0.2


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"seraser {importlib.metadata.version('seraser')}")
        raise typer.Exit


@app.callback()
def main(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Show what happens inside."),
    _: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Set up logging and proxies for every command."""
    redact_logs()
    print_markdown(False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be valid texts
            stream.reconfigure(errors="backslashreplace")
    prepare()
    if not verbose:
        # The hub's client reports every retry, on a handler of its own beside ours; the fault
        # itself reaches the terminal as one message.
        os.environ.setdefault("HF_HUB_VERBOSITY", "critical")
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=errors, show_path=False, show_time=verbose)],
    )
