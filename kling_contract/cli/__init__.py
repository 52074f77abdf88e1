"""The command line `kling-contract`: its commands, each in the module of its name, and how they fail."""

from __future__ import annotations

import codecs
import importlib
import io
import json
import os
import sys

import click

from kling_contract.errors import (
    DocumentError,
    ImageError,
    InvalidPayload,
    IsolationError,
    KlingError,
    ListenError,
    StateError,
    UnknownModel,
    UnknownRevision,
)
from kling_contract.version import __version__

__all__ = ["cli", "main"]

_COMMANDS = ("check", "demo", "diff", "generate", "record", "run", "samples", "schema", "serve", "validate")
_UNUSABLE = (DocumentError, ImageError, IsolationError, ListenError, StateError, UnknownModel, UnknownRevision)


class _LazyGroup(click.Group):
    """A group that imports a command only when it is used, so that none waits for what another needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"kling_contract.cli.{cmd_name}").command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kling-contract")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Test against AI/ML API's Kling video endpoints without calling them.

    \b
    Exit codes:
      0    the contract is kept, and the command has done what it should
      1    something breaks the contract or has failed
      2    wrong usage, or unreadable input
      3    the server cannot be reached (check)
      90   the program has ended well, and broke what --fail-on names (run, record)
      130  interrupted

    \b
    Shell completion in bash (or else zsh_source, fish_source):
      eval "$(_KLING_CONTRACT_COMPLETE=bash_source kling-contract)"
    """
    if "NO_COLOR" in os.environ:
        ctx.color = False


def main() -> None:
    """Run the command line. Turn every expected failure into one line on standard error and an exit code."""
    _escape_unencodable_characters()
    try:
        sys.exit(cli.main(prog_name="kling-contract", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message())
        sys.exit(2)
    except click.ClickException as wrong:
        _fail(wrong.format_message(), wrong.exit_code)
    except _UNUSABLE as unusable:
        _fail(str(unusable), 2)
    except InvalidPayload as invalid:
        _fail(str(invalid), 1)
    except KlingError as failed:
        _fail(str(failed), 1)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as unusable:
        _fail(f"{unusable.filename}: {unusable.strerror}" if unusable.filename else str(unusable), 2)


def _escape_unencodable_characters() -> None:
    """Make standard output and error write a character that their encoding lacks as an escape such as \\u732b.

    An error handler that the user chose, as with PYTHONIOENCODING=ascii:replace, stays.
    """
    codecs.register_error("json-escape", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="json-escape")


def _escaped(failed: UnicodeError) -> tuple[str, int]:
    """Return JSON escapes, so that printed JSON keeps its meaning."""
    if not isinstance(failed, UnicodeEncodeError):
        raise failed
    return json.dumps(failed.object[failed.start : failed.end])[1:-1], failed.end


def _fail(message: str, code: int) -> None:
    click.echo(f"kling-contract: {message}", err=True)
    sys.exit(code)
