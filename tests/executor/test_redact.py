"""No secret is left, in whatever spelling; and what is no secret is left alone."""

from __future__ import annotations

import base64
import html
import json
import string
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from bigmama_nb.executor.redact import Redactor, secrets_of
from bigmama_nb.profile import read

SECRETS = st.text(
    string.ascii_letters + string.digits + string.punctuation + " äß한\n", min_size=8, max_size=40
).filter(lambda text: text == text.strip() and sum(c.isalnum() for c in text) >= 4 and "•" not in text)
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "in JSON": json.dumps,
    "in JSON in JSON": lambda secret: json.dumps(json.dumps({"a": secret})),
    "in JSON with its letters": lambda secret: json.dumps(secret, ensure_ascii=False),
    "as Python shows it": repr,
    "as Python shows its bytes": lambda secret: repr(secret.encode()),
    "in HTML": html.escape,
    "in a URI": lambda secret: urllib.parse.quote(secret, safe=""),
    "in a form": urllib.parse.quote_plus,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(secret=SECRETS, before=st.sampled_from(["", "x", "at h: '", "\\"]), after=st.sampled_from(["", " y", "'"]))
def test_a_known_value_is_found_in_every_usual_spelling(spelling: str, secret: str, before: str, after: str) -> None:
    """However the value is escaped, its spelling is gone and what stood around it is not."""
    spelled = SPELLINGS[spelling](secret)
    core = spelled.strip("'\"b") if spelling != "as it is" else spelled

    hidden, hits = Redactor([secret]).text(f"{before}{spelled}{after}")

    assert hits >= 1
    assert core not in hidden
    assert hidden.startswith(before.rstrip("\\"))
    assert hidden.endswith(after)


@given(secret=SECRETS, around=st.binary(max_size=7))
def test_a_known_value_is_found_in_base64(secret: str, around: bytes) -> None:
    """As in an `Authorization: Basic` header: what is left decodes to nothing that holds it."""
    text = base64.b64encode(around + b":" + secret.encode() + b":" + around).decode()

    hidden, hits = Redactor([secret]).text(text)

    assert hits >= 1
    assert len(max(hidden.split("•••"), key=len)) < len(text)
    assert text not in hidden


@given(secret=SECRETS.filter(lambda text: "\n" not in text), data=st.data())
def test_colour_codes_inside_a_value_do_not_hide_it(secret: str, data: st.DataObject) -> None:
    """A traceback is coloured token by token; the codes stay, the value goes."""
    at = sorted(data.draw(st.lists(st.integers(0, len(secret)), max_size=4)))
    pieces = [secret[a:b] for a, b in zip([0, *at], [*at, len(secret)], strict=True)]
    codes = ["\x1b[38;5;28m", "\x1b[39m", "\x1b[1;31m", "\x1b[0m"]
    text = "at " + "".join(piece + code for piece, code in zip(pieces, [*codes[: len(at)], ""], strict=True)) + " end"

    hidden, hits = Redactor([secret]).text(text)

    assert hits == 1
    assert secret not in hidden.replace("\x1b", "").replace("[", "")
    assert all(code in hidden for code in codes[: len(at)])
    assert hidden.startswith("at ")
    assert hidden.endswith(" end")


@given(st.text(string.ascii_letters + string.digits + " .,:/=-_\n", max_size=200))
def test_a_text_without_secrets_is_left_as_it_is(text: str) -> None:
    """Nothing is hidden that merely looks like something."""
    assert Redactor(["correct horse battery"]).text(text) == (text, 0)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mongodb://lw:p4ss@db1:27017/lw?ssl=true", "mongodb://•••@db1:27017/lw?ssl=true"),
        ("cannot reach 'mongodb+srv://u:p%40ss@h/'", "cannot reach 'mongodb+srv://•••@h/'"),
        ("https://u:p@ss@h/x", "https://•••@h/x"),
        ('{"uri": "s3:\\/\\/key:secret@bucket"}', '{"uri": "s3:\\/\\/•••@bucket"}'),
        ("postgresql://\x1b[32muser\x1b[0m:pw@h", "postgresql://\x1b[32m•••\x1b[0m@h"),
        ("http://h:8080/a b@c", "http://h:8080/a b@c"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("hdfs://namenode:8020/user@x", "hdfs://namenode:8020/user@x"),
    ],
)
def test_user_and_password_are_hidden_in_any_uri(text: str, left: str) -> None:
    """Whether or not the run knows them; host, path and query stay, for who reads the error."""
    assert Redactor().text(text)[0] == left


# Put together here: a scanner of sources would take a whole one for real.
TOKENS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ASIA" + "Y34FZKBOKMUTVV7A",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "11ABCDE_" + "x9" * 30,
    "glpat-" + "x1_Y" * 5,
    "xoxb-" + "123456789012-abcdefABCDEF",
    "xapp-" + "1-A012-123-abcdef",
    "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "AIza" + "Sy" + "D3x" * 11,
    "ya29." + "a0AfH6SMBx-_" * 3,
    "GOCSPX-" + "a1b2" * 7,
    "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "sk-ant-" + "api03-" + "Ab1_" * 10,
    "npm_" + "a1B2" * 9,
    "pypi-" + "AgEIcHlwaS5vcmc" + "C" * 50,
    "hf_" + "AbCd" * 8 + "Ef",
    "dapi" + "0123456789abcdef" * 2,
    "SG." + "a" * 22 + "." + "b" * 43,
    "12345678:AA" + "x" * 33,
    "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEpAIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE " + "KEY-----\\nMIIEvQIBADANBg\\n-----END PRIVATE KEY-----\\n".removesuffix("\\n"),
]


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:10])
def test_well_known_tokens_are_hidden(token: str) -> None:
    """A token that no profile names is recognised by its shape, and nothing beside it goes."""
    assert Redactor().text(f"got '{token}', expected") == ("got '•••', expected", 1)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abcdef123456.xyz", "Authorization: Bearer •••"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "{'Authorization': 'Basic •••'}"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = •••"),
        ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX", "https://hooks.slack.com/services/•••"),
        ("AccountName=a;AccountKey=" + "Ab1/" * 21 + "Ab==;x", "AccountName=a;AccountKey=•••;x"),
        ("https://a/b?sv=1&sig=" + "a%2Fb" * 9 + "&x=1", "https://a/b?sv=1&sig=•••&x=1"),
    ],
)
def test_tokens_that_need_their_context_keep_it(text: str, left: str) -> None:
    """What names the token stays, so that a reader knows which it was."""
    assert Redactor().text(text) == (left, 1)


def test_a_short_value_is_hidden_only_where_it_is_a_password() -> None:
    """Hiding 'dev' everywhere would make a notebook unreadable; below six characters the context decides."""
    redactor = Redactor(["dev", ""])
    assert redactor.text("developed on dev, device") == ("developed on dev, device", 0)
    assert redactor.text("password='dev' pwd=device") == ("password='•••' pwd=device", 1)
    assert redactor.text("mongodb://dev:dev@h") == ("mongodb://•••@h", 1)


def test_a_longer_secret_wins_over_one_inside_it() -> None:
    """A URI that is known goes as a whole; hits are counted once."""
    uri = "mongodb://lw:hunter22@db1/lw"
    assert Redactor(["hunter22", uri]).text(f"{uri} and hunter22") == ("••• and •••", 2)


def test_a_whole_notebook_is_searched() -> None:
    """Parameters, sources, outputs, tracebacks, metadata and keys; a picture is hidden where its bytes hold a value."""
    secret = "hunter2-äö"
    png = base64.b64encode(b"\x89PNG tEXt" + secret.encode() + b"rest").decode()
    clean = base64.b64encode(bytes(range(256)) * 40).decode()
    cells = [
        new_code_cell(f"uri = {secret!r}", id="a", metadata={"note": [secret]}),
        new_code_cell(
            "x",
            id="b",
            outputs=[
                new_output("stream", text=f"{secret}\n{secret}"),
                new_output("display_data", data={"text/html": f"<b>{secret}</b>", "image/png": png}),
                new_output("display_data", data={"application/json": {"k": {secret: 1}}, "image/png": clean}),
                new_output("error", ename="E", evalue=secret, traceback=["…", f"\x1b[31m{secret}\x1b[0m"]),
            ],
        ),
    ]
    notebook = new_notebook(cells=cells, metadata={"papermill": {"parameters": {"uri": secret}}})

    hidden, hits = Redactor([secret]).notebook(notebook)

    assert hits == 10
    assert secret not in json.dumps(hidden, ensure_ascii=False)
    assert hidden.cells[1].outputs[1].data["image/png"] == "•••"
    assert hidden.cells[1].outputs[2].data["image/png"] == clean
    assert secret in notebook.cells[0].source


def profile_in(folder: Path) -> Path:
    path = folder / "p.yaml"
    path.write_text(
        "warehouse: {uri: hdfs://n:8020/w, metastore: thrift://m:9083,"
        " storage_options: {secret_access_key_env: S3_KEY, endpoint: http://minio, inner: {token_env: S3_TOKEN}},"
        " metastore_options: {kerberos_password_env: KRB}}\n"
        "archive: {uri: a}\nclusters: {c1: {uri_env: C1}, c2: {uri_env: C2}}\nnotify: [SLACK, MAIL]\n"
    )
    return path


def test_every_secret_that_the_profile_names_is_known(tmp_path: Path) -> None:
    """URIs and their passwords, decoded too, options by `*_env`, and the tokens inside notification addresses."""
    environ = {
        "C1": "mongodb://lw:p%40ss-word@db1/lw?tlsCertificateKeyFilePassword=key-pass-1",
        "S3_KEY": "s3-secret-value",
        "S3_TOKEN": "s3-token-value",
        "KRB": "kerberos pw",
        "SLACK": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#channel",
        "MAIL": "mailto://bot:mail-pass-9@example.com",
        "HOME": "/home/me",
        "PWD": "/somewhere/else",
        "VAULT_TOKEN": "hvs.ambient-token",
        "DB_PASSWORD_FILE": "/run/secrets/db",
        "USE_TOKEN": "true",
    }
    told = {
        "DB_PASSWORD_NAME": "warehouse-reader",
        "API_TOKEN_URL": "auth.example.com",
        "AWS_ACCESS_KEY_ID": "of-whom-it-is",
    }
    environ |= told

    known = secrets_of(read(profile_in(tmp_path)), environ)

    assert {
        environ["C1"],
        "p%40ss-word",
        "p@ss-word",
        "key-pass-1",
        "s3-secret-value",
        "s3-token-value",
        "kerberos pw",
        "A1BRTD4JD",
        "TIiajkdnlazkcOXrIdevi7FQ",
        "mail-pass-9",
        "hvs.ambient-token",
    } <= known
    # Where a secret is, and whose it is, an error may say.
    assert known.isdisjoint(told.values())
    assert known.isdisjoint({"/home/me", "/somewhere/else", "/run/secrets/db", "true", "http://minio", "db1", "lw"})


def test_a_password_is_hidden_in_an_error_that_spells_it_otherwise(tmp_path: Path) -> None:
    """A driver that decodes the URI and quotes the password alone does not give it away."""
    redactor = Redactor.of(read(profile_in(tmp_path)), {"C1": "mongodb://lw:p%40ss-word@db1/lw"})

    assert redactor.text("auth failed for lw / 'p@ss-word' at db1") == ("auth failed for lw / '•••' at db1", 1)


def test_a_record_is_searched_and_not_changed_in_place() -> None:
    """JSON documents come back as copies with numbers, nulls and order as they were."""
    record = {"tasks": [{"message": "no hunter22 here", "value": 3, "reason": None}], "hunter22": True}

    hidden, hits = Redactor(["hunter22"]).document(record)

    assert hidden == {"tasks": [{"message": "no ••• here", "value": 3, "reason": None}], "•••": True}
    assert hits == 2
    assert "hunter22" in record
