"""The command's verbs, their words and their JSON: an interface that scripts outside the project rely on.

Source: docs/spec/runs_and_archive.md, "The command". One object goes to stdout with `--json`, everything that is
said goes to stderr.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bigmama_nb.cli.streams import fill_closed, gate, guarded, lost_answer, reply, reply_json, say
from bigmama_nb.errors import (
    NOTHING_DONE,
    NOTHING_RUN,
    BigmamaError,
    LockedError,
    RecordError,
    TaskError,
    UsageError,
    printable,
    shown,
    with_state,
)
from bigmama_nb.executor import spared_imports
from bigmama_nb.executor.process import SwiftEnd, collect_seldom, mute_warnings
from bigmama_nb.project import COMMAND, as_called, without_run

if TYPE_CHECKING:
    from bigmama_nb.profile import Profile

FORMAT = 1
LONGEST = 80
"""So many letters of a path that is too long are shown."""
REPAIRED = ("run", "repair", "release", "republish", "retract")
"""The verbs that may leave a run that a repair finishes."""


@dataclass
class VerbResult:
    """What a verb comes to: its data, the text that a person reads, and its exit status."""

    data: Any
    text: str = ""
    exit_status: int = 0
    error: dict[str, str] | None = None


class Verbs(click.Group):
    """The verbs; `run` is the default, so `run_all.py --date 2024-05-01` is `run_all.py run --date 2024-05-01`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["--help"], "max_content_width": 100})
def verbs() -> None:
    """Publish every game's metrics to one table, and keep the record of it.

    Exit status: 0 every task a success, 3 some published, 1 nothing published, 2 the command or the profile is
    wrong, 75 another run held the lock, 128+n ended by signal n.
    """


def verb(
    name: str, group: click.Group = verbs, *, example: str
) -> Callable[[Callable[..., VerbResult]], click.Command]:
    """Make a function a verb that takes `--profile` and `--json` and returns VerbResult."""

    def decorate(function: Callable[..., VerbResult]) -> click.Command:
        @click.pass_context
        def called(ctx: click.Context, /, *, as_json: bool, **arguments: Any) -> None:
            spoken = " ".join(ctx.command_path.split()[1:])
            try:
                refuse_empty(ctx)
                refuse_bytes(ctx)
                done = function(**arguments)
            except BigmamaError as error:
                done = failed(error)
            except click.ClickException:
                raise
            except Exception as error:
                long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
                done = failed(too_long(error)) if long else unforeseen(error, spoken)
            answer(spoken, done, as_json=as_json)

        called.__doc__ = as_called(f"{function.__doc__}\n\n    Example: python run_all.py {example}\n")
        called.__click_params__ = [  # type: ignore[attr-defined]
            click.Option(
                ["--json", "as_json"], is_flag=True, help="One JSON object on stdout, everything else on stderr."
            ),
            click.Option(
                ["--profile"], metavar="FILE", help="The profile; else BIGMAMA_PROFILE, else parameters/sample.yaml."
            ),
            *getattr(function, "__click_params__", []),
        ]
        return group.command(name)(called)

    return decorate


def refuse_empty(ctx: click.Context) -> None:
    """Refuse an option or argument that is given and empty, as a shell variable that is not set leaves it.

    Left out it has a meaning (yesterday, all games, the sample), which nobody meant who wrote it down.

    Raises:
        UsageError: naming every one.
    """
    empty = [
        f"{parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(ctx)} {what}"
        for parameter in ctx.command.params
        if ctx.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
        and (what := _emptiness(ctx.params.get(str(parameter.name))))
    ]
    if empty:
        raise UsageError(
            f"{', '.join(empty)}; expected a value",
            step="leave out what is not meant, and look for a variable of the shell that is not set; see "
            f"'{ctx.command_path} --help'",
        )


def refuse_bytes(ctx: click.Context) -> None:
    """Refuse an option or argument that is no text: bytes that are not UTF-8, which no record or table could hold.

    Raises:
        UsageError: naming the first.
    """
    for parameter in ctx.command.params:
        given = ctx.params.get(str(parameter.name))
        for text in given if isinstance(given, tuple) else (given,):
            if isinstance(text, str) and ("\0" in text or _has_bytes(text)):
                raise UsageError(
                    f"{parameter.opts[0] if isinstance(parameter, click.Option) else parameter.make_metavar(ctx)} is "
                    f"{printable(text)!r}, which holds bytes that are no text in UTF-8",
                    step="give a file of such a name a link with another one",
                )


def too_long(error: Exception) -> UsageError:
    """Return the refusal of a path that no file can have."""
    path = str(getattr(error, "filename", "") or "a path")
    part = max(path.split("/"), key=len)
    return UsageError(
        f"{printable(path[:LONGEST])}{'…' if len(path) > LONGEST else ''}: is no name for a file "
        f"({len(os.fsencode(part))} bytes between two slashes, {len(os.fsencode(path))} in all); expected at most 255 "
        "and 4,095",
        state=NOTHING_DONE,
    )


def _has_bytes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _emptiness(value: object) -> str:
    if isinstance(value, tuple) and len(value) > 1:
        return "holds an empty name" if any(map(_emptiness, value)) else ""
    text = value[0] if isinstance(value, tuple) and value else value
    return "is empty" if text == () or (isinstance(text, str) and not text.strip()) else ""


def names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the names of a comma-separated option."""
    return () if value is None else tuple(name.strip() for name in value.split(","))


def failed(error: BigmamaError) -> VerbResult:
    """Return what a verb comes to that could not be done: 2 for a wrong command or profile, 75 for a lock, else 1."""
    if isinstance(error, UsageError):
        return VerbResult(None, exit_status=2, error={"reason": "usage", "message": str(error)})
    reason = error.reason if isinstance(error, TaskError) else "stage_died"
    status = 75 if isinstance(error, LockedError) else 1
    if isinstance(error, RecordError):
        return VerbResult(None, exit_status=error.exit_status, error={"reason": reason, "message": str(error)})
    # No run was begun, or one that names itself.
    return VerbResult(None, exit_status=status, error={"reason": reason, "message": without_run(str(error))})


def load(path: str | None, *, executes: bool = False) -> Profile:
    """Return the profile that a verb is told; its secrets are hidden from now on in all that is written.

    Args:
        executes: the verb executes notebooks, and has imported what it does that by, and done nothing else.

    Raises:
        ProfileError: the profile is wrong.
    """
    from bigmama_nb import profile

    read = profile.load(path)
    gate().knows(read)
    if executes:
        from bigmama_nb.executor.kernel import prepare

        prepare()
    return read


def unforeseen(error: Exception, spoken: str) -> VerbResult:
    """Return what a verb comes to that broke off where nobody thought that it could: 1, the trace in a file."""
    trace = shown(gate().text("".join(traceback.format_exception(error))))
    where = "above"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="run_all-", suffix=".trace.txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(trace)
        where = f"in {file.name}"
    except OSError:
        say(trace)
    under_way = (
        "If a run was under way, 'run_all.py runs show latest' tells how far it came, and 'run_all.py repair latest' "
        "does the rest. "
    )
    message = (
        f"{COMMAND} {spoken}: broken off by an error that was not foreseen, {trace.strip().splitlines()[-1]}. "
        "Tables are whole: a partition changes as one or stays as it was. "
        f"{under_way if spoken in REPAIRED else ''}The trace, for who mends this, is {where}."
    )
    return VerbResult(None, exit_status=1, error={"reason": "unforeseen", "message": message})


def refusal(error: click.ClickException) -> str:
    """Return what is wrong with the words of a command, and that nothing was run."""
    text = error.format_message().strip()
    context = error.ctx if isinstance(error, click.UsageError) else None
    spoken = context.command_path if context is not None else COMMAND
    return with_state(text, NOTHING_RUN, f"see '{spoken} --help'")


def answer(spoken: str, done: VerbResult, *, as_json: bool) -> None:
    """Print what a verb comes to, and end with its exit status."""
    if as_json:
        body = {
            "format": FORMAT,
            "verb": spoken,
            "exit_status": done.exit_status,
            "error": done.error,
            "data": done.data,
        }
        reply_json(body)
    elif done.text:
        reply(done.text)
    if done.error is not None:
        say(done.error["message"])
    status = done.exit_status
    if (why := lost_answer()) is not None:
        recorded = isinstance(done.data, dict) and "run_id" in done.data
        state = f"'run_all.py runs show {done.data['run_id']}' tells it" if recorded else "Nothing else was lost"
        lost = f"{COMMAND} {spoken}: the answer could not be written to stdout ({why}). {state}."
        say(lost)
        # What a run came to is its exit status; who asked and was told nothing must not take that for an answer.
        status = status if recorded else status or 1
    sys.exit(status)


def main(arguments: list[str] | None = None, services: object = None) -> None:
    """Run the command; ends the process with its exit status.

    Args:
        arguments: the words behind the command's name; None: this process's.
        services: what runs work with instead of the real things (`runs.services.Services`).
    """
    if arguments is None:  # this process is the command's alone
        fill_closed()
        spared_imports.by_command()
        collect_seldom()
    from bigmama_nb.cli import archive, check, init, report, runs, trial, warehouse  # noqa: F401 - they add their verbs

    swift = SwiftEnd() if arguments is None else None
    if swift is not None and not sys.warnoptions:
        # A library's warning is for who develops here; an operator's terminal shows what was said on purpose.
        mute_warnings()
    try:
        with guarded():
            _called(sys.argv[1:] if arguments is None else arguments, services)
    except SystemExit as end:
        if swift is not None and isinstance(end.code, int):
            swift.well(end.code)
        raise


def _called(arguments: list[str], services: object) -> None:
    try:
        verbs.main(arguments, prog_name=COMMAND, standalone_mode=False, obj=services)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
            sys.exit(2)
        context = error.ctx if isinstance(error, click.UsageError) else None
        spoken = " ".join(context.command_path.split()[1:]) if context is not None else ""
        wrong = VerbResult(None, exit_status=2, error={"reason": "usage", "message": refusal(error)})
        answer(spoken or next(iter(arguments), "run"), wrong, as_json="--json" in arguments)
