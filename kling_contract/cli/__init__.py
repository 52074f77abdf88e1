"""`kling-contract`: which commands there are, and how they fail. Each command is in the module of its name in `commands/`."""

from __future__ import annotations

import codecs
import importlib
import io
import json
import os
import sys

import click

from kling_contract.errors import DocumentError, ImageError, InvalidPayload, KlingError, UnknownRevision
from kling_contract.version import __version__

__all__ = ["cli", "main"]

_COMMANDS = ("check", "demo", "diff", "generate", "record", "samples", "schema", "serve", "validate")
_UNUSABLE = (DocumentError, ImageError, UnknownRevision)


class _Lazily(click.Group):
    """Imports a command when it is asked for, so that none pays for what another needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"kling_contract.cli.{cmd_name}").command
        return command


@click.group(cls=_Lazily, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kling-contract")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Test against AI/ML API's Kling video endpoints without calling them.

    Exit codes: 0 all is well, 1 something breaks the contract or failed, 2 wrong usage or unreadable input.
    """
    if "NO_COLOR" in os.environ:
        ctx.color = False


def main() -> None:
    """Run the command line, and turn every expected failure into one line and an exit code."""
    _escape_what_streams_cannot_hold()
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


def _escape_what_streams_cannot_hold() -> None:
    """Let standard output and error write a character that their encoding lacks as an escape such as \\u732b, and not fail.

    A handler that somebody chose, as with PYTHONIOENCODING=ascii:replace, stays.
    """
    codecs.register_error("json-escape", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="json-escape")


def _escaped(failed: UnicodeError) -> tuple[str, int]:
    """Return the escapes that JSON has, so that JSON which is printed with them still says the same."""
    if not isinstance(failed, UnicodeEncodeError):
        raise failed
    return json.dumps(failed.object[failed.start : failed.end])[1:-1], failed.end


def _fail(message: str, code: int) -> None:
    click.echo(f"kling-contract: {message}", err=True)
    sys.exit(code)
