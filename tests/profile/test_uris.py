"""A password in a URI is found where nobody escaped what is in it, and what is no password is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigmama_nb.errors import ProfileError
from bigmama_nb.profile import read
from bigmama_nb.profile.uris import unescaped, unescaped_address, without_passwords

PASSWORDS = ["s3cr3tHorse9", "s3cr3t/Horse9", "s3cr3t@Horse9", "s3cr3t?Horse9", "s3cr3t:Horse9", "s3cr3t#Hor/se@9"]
TEXT = """
warehouse: {{uri: {uri}}}
archive: {{uri: archive}}
clusters: {{east: {{dump: dumps}}}}
games: {{aa: {{cluster: {cluster}, database: aa}}}}
"""


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("scheme", ["hdfs", "s3", "s3a", "thrift", "mongodb", "mongodb+srv"])
def test_a_password_in_the_profile_is_refused_and_not_shown(tmp_path: Path, scheme: str, password: str) -> None:
    """In a place, and in the place of a name; a / or an @ in it changes nothing."""
    uri = f"{scheme}://etl:{password}@db.example:1234/x"
    path = tmp_path / "profile.yaml"
    for text in (TEXT.format(uri=f"'{uri}'", cluster="east"), TEXT.format(uri="warehouse", cluster=f"'{uri}'")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ProfileError) as caught:
            read(path)
        assert "s3cr3t" not in str(caught.value)
        assert "Hor" not in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://etl:1234/5678@bucket/x", "s3a://12:34@bucket"])
def test_digits_in_an_address_of_s3_are_no_port(tmp_path: Path, uri: str) -> None:
    """S3 has none, so what reads as a host with its port is the beginning of a password."""
    path = tmp_path / "profile.yaml"
    path.write_text(TEXT.format(uri=f"'{uri}'", cluster="east"), encoding="utf-8")
    with pytest.raises(ProfileError, match="a password never stands in a file") as caught:
        read(path)
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize("key", ["remote: 'sc://spark.example:15002/;use_ssl=true;token=s3cr3tHorse9'",
                                 "remote: 'sc://etl:s3cr3tHorse9@spark.example:15002'",
                                 "master: 'spark://etl:s3cr3tHorse9@spark.example:7077'"])  # fmt: skip
def test_a_token_in_an_engines_address_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    """A secret never stands in the file, as little in what Spark is called by."""
    path = tmp_path / "profile.yaml"
    path.write_text(f"{TEXT.format(uri='w', cluster='east')}engine: {{kind: spark, {key}}}\n", encoding="utf-8")
    with pytest.raises(ProfileError, match=r"engine\.(remote|master) holds a secret \(not shown\)") as caught:
        read(path)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["hdfs://nn:8020/user/x@y", "thrift://a:9083,b:9083", "https://reports.example:8443/x", "s3://bucket/a:b",
     "see https://a.example/x: that is it", "spark://h1:7077,h2:7077", "sc://h:15002/;user_id=x"],
)  # fmt: skip
def test_a_host_with_its_port_is_no_password(text: str) -> None:
    """What holds no secret is shown as it is."""
    assert without_passwords(text) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="'\"<>`\\"), min_size=6))
def test_no_password_is_left_whatever_is_in_it(password: str) -> None:
    """Of any characters but blanks and quotes, at which a URI in a text ends."""
    shown = without_passwords(f"cannot reach mongodb://etl:x{password}@db.example:27017/lw now")
    assert password not in shown
    assert shown.endswith(" now")


@pytest.mark.parametrize(
    ("address", "odd"),
    [
        ("json://u:pa@ss@h:9/", "@"), ("json://u:12/34@h/", "/"), ("json://u:p:w@h/", ":"), ("json://u:p[w@h/", "["),
        ("json://u:p%40w@h/@a/b", None), ("tgram://123456789:AAabc/@channel", None), ("slack://A1/B2/C3/#x", None),
        ("mailto://u:p@example.com?to=a@b.example", None), ("json://h:8080/hook?to=a@b", None),
    ],
)  # fmt: skip
def test_an_alerts_address_is_looked_at_before_a_host_is(address: str, odd: str | None) -> None:
    """An @ in a path or a query is a channel or a receiver, in the login it is a mistake."""
    assert unescaped_address(address) == odd


@given(st.text("abcdef%@/:?#[]", min_size=1, max_size=12))
def test_no_part_of_a_password_is_ever_a_host(password: str) -> None:
    """A URI that is taken has the host behind its last @, whatever stands before it."""
    uri = f"mongodb://etl:{password}@db.example:27017/lw"
    if unescaped(uri) is None:
        authority = uri.partition("://")[2].partition("/")[0]
        assert authority.rpartition("@")[2] == "db.example:27017"
        assert authority.count("@") == 1
