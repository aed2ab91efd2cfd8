"""What each reason of a failed task means and what to do about it, as the page docs/errors.md shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bigmama_nb.errors import NOTHING_RUN, Reason


@dataclass(frozen=True)
class Explained:
    """A reason in words; Markdown."""

    means: str
    to_do: str


@dataclass(frozen=True)
class Kind:
    """Reasons of one kind: what failed, in a word and in a sentence or two."""

    title: str
    says: str
    reasons: Mapping[Reason, Explained]


MADE: Final = """\
A task that fails has one of these reasons, whatever the source: it stands in the record, in `runs show`, in the report
and on the review site, with a message that says where, what was found and what was expected. Made from
`bigmama_nb/reasons.py` by `python run_all.py docs`; a page that is behind it fails the tests."""
ENDS: Final = f"""\
## What is refused before a run

A wrong command, and a profile that breaks a rule, are no task's failure: all of it is said at once, a line a mistake,
with file, key, what was found and what was expected. {NOTHING_RUN}, and the exit status is 2."""

KINDS: Final[Sequence[Kind]] = (
    Kind(
        "The data",
        "One game's documents are not what the profile says. The game's team corrects them, or the metric leaves them "
        "out by `match`.",
        {
            "wrong_type": Explained(
                "a boolean, a string, an array or a document stands where a number belongs; the `_id` is in "
                "the message",
                "correct the document, or leave it out by `match`",
            ),
            "not_integral": Explained(
                "a fraction, NaN or an infinity; nothing is rounded",
                "correct the document, or have the source write whole numbers (cents, not euros)",
            ),
            "overflow": Explained(
                "beyond 64 bits, or a double beyond 2^53, a sum too",
                "have the source write a long instead of a double, or a smaller unit",
            ),
            "null_value": Explained(
                "the field is there and null",
                "correct the document, or leave it out by `match: {field: {$ne: null}}`",
            ),
            "missing_field": Explained(
                "the field is not there",
                "look for a renamed field; correct the document or `value`",
            ),
            "duplicate_documents": Explained(
                "two documents for one figure: which is right cannot be told",
                "delete one, or narrow `match`",
            ),
            "date_type_mismatch": Explained(
                "dates of another type than `date.as`; a query would have skipped them in silence",
                "correct `date.as` (per game by `override`), or `date.other_types: ignore`",
            ),
            "bad_date": Explained(
                "a string that is no date or names another offset than the zone's, an epoch number outside "
                "of 1990 to 2099",
                "correct the document, or `date.as`: the message names the likelier unit",
            ),
            "array_path": Explained(
                "the dotted path leads through an array, where one document has many values",
                "name another field, or have the source write the sum",
            ),
            "path_unknown": Explained(
                "a path of the metric, or of `ready.match`, is in no document of the collection, or what "
                "`count_distinct` counts holds no value in any: its name is mistyped, or new",
                "correct it; the message names the nearest; `may_be_absent: [path]` where it is new or rare",
            ),
            "type_unknown": Explained(
                'the match compares a path with a type that it never holds, as `"1"` with numbers, or the '
                "date is never of its type",
                "write the constant as the documents hold it, an instant as `{$date: …}`",
            ),
            "match_unknown": Explained(
                "`empty: 0`, and no document of the whole collection passes the match: a zero would say nothing",
                "correct the constants; `may_be_absent` where such documents are rare",
            ),
        },
    ),
    Kind(
        "The source",
        "It could not be asked. Other clusters and games are not affected.",
        {
            "source_missing": Explained(
                'the folder, database or collection is not there; MongoDB itself would have answered "nothing"',
                "look for a renamed one; `check` lists what there is",
            ),
            "source_corrupt": Explained(
                "a dump ends within a document, or its bytes are none; nothing of the file was used",
                "dump the collection again",
            ),
            "unreachable": Explained(
                "no server answered, or the variable with the URI is not set, or the file may not be read",
                "`check`; then the network, the variable, the rights",
            ),
            "auth": Explained(
                "user and password were refused, or may not read this database",
                "the URI in the variable that `uri_env` names",
            ),
            "tls": Explained(
                "no secure connection: a certificate is expired, unknown or for another host",
                "the certificate, or `tlsCAFile` in the URI",
            ),
            "query_timeout": Explained(
                "a query took longer than `max_time_ms`",
                "an index on the date field; then a larger `max_time_ms`",
            ),
            "query_refused": Explained(
                "the server refused the query itself",
                "the message holds the server's words; often a right that is missing",
            ),
            "deadline": Explained(
                "the game was not done within `extract_deadline_s`; the others went on",
                "a slow cluster: `repair`; always the same game: an index, or a later start",
            ),
        },
    ),
    Kind(
        "Checks",
        "What came was not fit to be published.",
        {
            "contract": Explained(
                "a table is not what its contract says, or a check graded `fail` does not hold",
                "a source changed its columns, or a bug: the message names the column or check",
            ),
            "rejected_share": Explained(
                "more rows of a live's sources than `max_rejected_share` could not be used",
                "look at `wv_live_play_rejects`' reasons; correct the source, or raise the share",
            ),
            "duplicate_key": Explained(
                "two rows have one key",
                "the source holds a user, post or figure twice: correct it",
            ),
            "live_too_long": Explained(
                "a live is longer than `max_live_days`",
                "correct its `end_dt`, or raise the limit",
            ),
        },
    ),
    Kind(
        "Publishing",
        "The figures are there, the table is as before. `repair` publishes them.",
        {
            "locked": Explained(
                "another run held the table for longer than `lock_wait_s`",
                "wait for it, then `repair`; what the holder is stands in the message",
            ),
            "storage": Explained(
                "files could not be written, read or verified: a full disk, a right that is missing, HDFS or S3 away",
                "make room or mend it, then `repair`",
            ),
            "catalog": Explained(
                "the catalog refused, or did not hold what was expected",
                "the message holds its words; then `repair`",
            ),
            "publish_unknown": Explained(
                "the answer to the move was lost: the rows may or may not be there",
                "`repair`; it is safe, and no file was deleted meanwhile",
            ),
        },
    ),
    Kind(
        "The stage",
        "The notebook itself did not end well.",
        {
            "stage_died": Explained(
                "its kernel died or a cell raised: killed for want of memory, or a bug",
                "the message says which; more memory, fewer `--jobs`; a bug: the notebook holds the trace",
            ),
            "timeout": Explained(
                "it ran longer than `stage_timeout_s` and was killed",
                "`repair`; if it happens again, a larger timeout",
            ),
        },
    ),
)


def page() -> str:
    """Return docs/errors.md: every reason with its meaning and what to do."""
    parts = ["# Errors", MADE]
    for kind in KINDS:
        parts += [f"## {kind.title}", kind.says, _grid(kind.reasons)]
    return "\n\n".join([*parts, ENDS]) + "\n"


def _grid(reasons: Mapping[Reason, Explained]) -> str:
    rows = [f"| `{reason}` | {one.means} | {one.to_do} |" for reason, one in reasons.items()]
    return "\n".join(["| reason | means | what to do |", "| --- | --- | --- |", *rows])
