"""The verbs that do and undo: run, repair, release, republish, retract, replay; and open, which looks into one."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import click

from bigmama_nb.cli import VerbResult, load, names, verb
from bigmama_nb.cli.operation import all_finished, finished, operated, services, show_on_site
from bigmama_nb.cli.streams import say
from bigmama_nb.errors import NOTHING_DONE, UsageError, how_many
from bigmama_nb.profile import Profile


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        instant = read.astimezone(UTC) if read.tzinfo is not None else None
    except (ValueError, OverflowError):
        instant = None
    if instant is None:
        raise UsageError(f"--run-timestamp is {text!r}; expected an instant with its zone, as in 2024-05-02T02:03:04Z")
    return instant


@verb("run", example="run --date 2024-05-01 --games lw,bns")
@click.option("--date", "day", metavar="D", help="The day; else the profile's dates, else yesterday.")
@click.option("--from", "date_from", metavar="D", help="The first day of a range.")
@click.option("--to", "date_to", metavar="D", help="The last day of a range.")
@click.option("--missing", is_flag=True, help="Only what the range lacks.")
@click.option("--games", callback=names, metavar="A,B", help="Only these games.")
@click.option("--metrics", callback=names, metavar="A,B", help="Only these metrics.")
@click.option("--pipelines", callback=names, metavar="A,B", help="game_metric, live_play; else those configured.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="How many notebooks run at once.")
@click.option("--scratch", is_flag=True, help="Write to a scratch warehouse.")
@click.option("--plan", "only_plan", is_flag=True, help="Print the grid and ask nothing.")
@click.option("--wait-until", metavar="HH:MM", help="Until then publish what is not ready as it comes.")
@click.option("--run-timestamp", metavar="T", help="The run's instant, ISO 8601 with its zone; else its start.")
@click.option("--allow-empty", is_flag=True, help="An empty result replaces rows.")
@click.option("--again", is_flag=True, help="With --games and --metrics: also what was retracted of them.")
def run(
    profile: str | None,
    day: str | None,
    date_from: str | None,
    date_to: str | None,
    missing: bool,
    games: tuple[str, ...],
    metrics: tuple[str, ...],
    pipelines: tuple[str, ...],
    jobs: int,
    scratch: bool,
    only_plan: bool,
    wait_until: str | None,
    run_timestamp: str | None,
    allow_empty: bool,
    again: bool,
) -> VerbResult:
    """Collect, check and publish what a day or a range asks for."""
    from bigmama_nb.runs.plan import Request, plan
    from bigmama_nb.runs.run import Options
    from bigmama_nb.runs.run import run as start
    from bigmama_nb.runs.wait import until
    from bigmama_nb.sample import prepare

    if day and (date_from or date_to):
        raise UsageError("--date and --from/--to exclude each other")
    if again and not (games and metrics):
        raise UsageError("--again brings back what was retracted, by name only: it needs --games and --metrics")
    read = load(profile, executes=not only_plan)
    request = Request(day or date_from, day or date_to, games, metrics, pipelines, missing, again)
    now = services().clock()
    end = None if wait_until is None else until(wait_until, read, now)
    options = Options(jobs, scratch, allow_empty, _instant(run_timestamp), end, again=again)
    grid = plan(read, request, now=now)
    if only_plan:
        planned = [{"task": task.id, "action": "run"} for task in grid.tasks]
        planned += [{"task": name, "action": "retracted"} for name in grid.retracted]
        lines = [one["task"] if one["action"] == "run" else f"retracted {one['task']}" for one in planned]
        return VerbResult(planned, "\n".join(lines) or "The grid has no task.")
    prepare(read)
    with operated(read) as operator:
        if grid.warning:
            operator.say(grid.warning)
        for name, out in grid.retracted.items():
            operator.say(f"{name} was retracted by {out.run} ({out.reason}) and stays out; --again asks for it.")
        done = start(read, grid, request, options, operator)
    return finished(done, read)


@verb("repair", example="repair latest --plan")
@click.argument("run_name", metavar="RUN", required=False)
@click.option("--open", "every", is_flag=True, help="Every run of the last days in which something is open, not one.")
@click.option(
    "--days", type=click.IntRange(1, 36_500), default=7, show_default=True, help="How many days --open looks back."
)
@click.option("--plan", "only_plan", is_flag=True, help="Print what would be redone and what kept, and do nothing.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="How many notebooks run at once.")
def repair(profile: str | None, run_name: str | None, every: bool, days: int, only_plan: bool, jobs: int) -> VerbResult:
    """Redo just the tasks of RUN that are no success, as a further attempt of it.

    `latest` is the newest run in which something is open. With --open no RUN is named.
    """
    from bigmama_nb.runs import archive
    from bigmama_nb.runs.repair import latest_open, open_runs, plan_repair
    from bigmama_nb.runs.repair import repair as redo
    from bigmama_nb.runs.run import Options

    if every == (run_name is not None):
        if every:
            raise UsageError(
                "repair takes a RUN or --open, not both", state=NOTHING_DONE, step="see 'run_all.py runs list'"
            )
        raise click.UsageError("Missing argument 'RUN'.", click.get_current_context())
    read = load(profile, executes=not only_plan)
    folder = Path(read.archive.uri)
    if run_name is None:
        ids = [run.run_id for run in open_runs(folder, services().clock().date(), days)]
    else:
        ids = [latest_open(folder) if run_name == "latest" else archive.find(folder, run_name)]
    if only_plan:
        actions = []
        for run_id in ids:
            planned = plan_repair(read, archive.read(folder, run_id))
            for warning in planned.warnings:
                say(warning)
            actions += [("redo", task.id) for task in planned.redo] + [("keep", task.id) for task in planned.keep]
        return VerbResult(
            [{"task": task, "action": action} for action, task in actions],
            "\n".join(f"{action} {task}" for action, task in actions)
            or ("Nothing is open." if every else "The run has no task."),
        )
    with operated(read) as operator:
        done = []
        for run_id in ids:
            if operator.stop.is_set():
                break
            try:
                done.append(redo(read, run_id, Options(jobs), operator))
            except UsageError as error:
                if not every:
                    raise
                for line in str(error).splitlines():
                    operator.say(line)
    return all_finished(done, read, operator.stop) if every else finished(done[0], read)


@verb("release", example="release latest lw/wau/20240501")
@click.argument("run_name", metavar="RUN")
@click.argument("task")
@click.option("--reason", help="Why; the run's record keeps it.")
@click.option("--over", is_flag=True, help="Also over what a later run published.")
def release(profile: str | None, run_name: str, task: str, reason: str | None, over: bool) -> VerbResult:
    """Publish a figure of RUN that was held because it is suspect."""
    from bigmama_nb.runs import archive
    from bigmama_nb.runs.repair import release as let_go

    read = load(profile, executes=True)
    run_id = archive.find(Path(read.archive.uri), run_name)
    with operated(read) as operator:
        done = let_go(read, run_id, task, operator, reason, over=over)
    return finished(done, read)


@verb("republish", example="republish latest-ok --profile parameters/new-cluster.yaml")
@click.argument("run_name", metavar="RUN", required=False)
@click.option("--over", is_flag=True, help="Also over what a later run published.")
@click.option("--form", is_flag=True, help="Rewrite all tables as warehouse.readers, compression and timestamp say.")
@click.option("--reason", help="Why; the run's record keeps it.")
def republish(profile: str | None, run_name: str | None, over: bool, form: bool, reason: str | None) -> VerbResult:
    """Publish RUN's figures to another profile's warehouse, asking no source again.

    RUN is a run in that profile's archive, or the folder of a run in another archive. With --form instead, every
    current partition of the profile's own warehouse is written anew, with the same rows and the same lineage.
    """
    if form == (run_name is not None):
        raise UsageError("republish takes a RUN or --form, one of the two", state=NOTHING_DONE)
    if run_name is None:
        return _rewritten(load(profile), reason)
    from bigmama_nb.runs.repair import republish as publish_again
    from bigmama_nb.runs.run import Options

    read = load(profile, executes=True)
    with operated(read) as operator:
        done = publish_again(read, run_name, Options(over=over), operator, reason)
    return finished(done, read)


def _rewritten(profile: Profile, reason: str | None) -> VerbResult:
    from bigmama_nb.runs.changes import rewrite

    done = rewrite(profile, reason, services().clock())
    show_on_site(profile)
    lines = [f"{one.table} {one.partition} is {one.version} now." for one in done]
    lines.append(f"{how_many(len(done), 'partition')} rewritten; rows and lineage are as before.")
    return VerbResult([one.record() for one in done], "\n".join(lines))


@verb("open", example="open latest 20_normalize")
@click.argument("run_name", metavar="RUN")
@click.argument("stage")
@click.option("--print", "only_print", is_flag=True, help="Only print what to open.")
def open_notebook(profile: str | None, run_name: str, stage: str, only_print: bool) -> VerbResult:
    """Open a copy of RUN's notebook STAGE in JupyterLab, with the run's parameters; it works on a scratch warehouse.

    Where there is no display, and with --json, it prints what to open. The copy goes after 7 days.
    """
    from bigmama_nb.runs import archive, notebooks
    from bigmama_nb.runs.scratch import KEPT_DAYS

    read = load(profile)
    folder = Path(read.archive.uri)
    copy = notebooks.copy_to_open(read, archive.read(folder, archive.find(folder, run_name)), stage)
    # Told before: JupyterLab stays until it is ended.
    where = f"A copy, which goes after {KEPT_DAYS} days: {copy}\nTo keep it save it elsewhere: File, Save Notebook As."
    click.echo(where, err=True)
    if not (only_print or click.get_current_context().params["as_json"]) and notebooks.has_display():
        services().show(copy)
    return VerbResult({"path": str(copy), "kept_days": KEPT_DAYS}, f"jupyter lab {shlex.quote(str(copy))}")


@verb("replay", example="replay latest")
@click.argument("run_name", metavar="RUN")
def replay(profile: str | None, run_name: str) -> VerbResult:
    """Do RUN again from what it recorded, in a scratch warehouse, and say whether the same comes out. Exit 1 if not.

    Metrics begin with the figures that were collected then, live viewing with its sources as they are now.
    """
    from bigmama_nb.runs import archive
    from bigmama_nb.runs.replay import replay as do_again

    read = load(profile, executes=True)
    run_id = archive.find(Path(read.archive.uri), run_name)
    with operated(read) as operator:
        done = do_again(read, run_id, operator)
    text = [f"{run_id}: {f'the same {done.by} come out' if done.same else done.first_difference}."]
    text += [f"Changed since: {path}" for path in done.changed_inputs]
    text.append(f"Notebooks: {done.notebooks}")
    return VerbResult(done.as_json(), "\n".join(text), 0 if done.same else 1)


@verb("retract", example="retract lw wau 20240501 --reason 'counted twice'")
@click.argument("game")
@click.argument("type_", metavar="TYPE")
@click.argument("dt")
@click.option("--reason", required=True, help="Why; the run's record keeps it.")
def retract(profile: str | None, game: str, type_: str, dt: str, reason: str) -> VerbResult:
    """Take one row out of the table, as a run of its own with its reason."""
    from bigmama_nb.runs.retract import retract as take_out

    read = load(profile)
    with operated(read) as operator:
        done = take_out(read, game, type_, dt, reason, operator)
    return finished(done, read)
