"""JupyterLab beside the archive: a real server shows its pages and saves nothing over what a run left, for root too."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bigmama_nb.site.pages import asset_text
from tests.runs.stages import notebook

REPO = Path(__file__).parent.parent
RUN = "20240502T020304Z-1a2b3c"
PROFILE = """
warehouse: {uri: warehouse}
archive: {uri: served/archive}
clusters: {east: {dump: dumps}}
games: {aa: {cluster: east, database: aa}}
metrics:
  wau: {collection: daily, date: {field: dt, as: yyyymmdd}, value: {field: value}, period: day}
"""


@dataclass(frozen=True)
class Lab:
    """A Jupyter server on a folder."""

    url: str

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Ask for an address, following nothing; return the HTTP status, what is said and its headers."""

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        try:
            with urllib.request.build_opener(Stay).open(
                urllib.request.Request(f"{self.url}{path}", headers=headers)
            ) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def contents(self, method: str, path: str, model: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Ask its contents API; return the HTTP status and what it says."""
        body = None if model is None else json.dumps(model).encode()
        request = urllib.request.Request(f"{self.url}api/contents/{path}", body, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A server on the folder `served` that asks nobody who they are."""
    with started(tmp_path, token="") as found:
        yield found


@contextmanager
def started(tmp_path: Path, token: str) -> Iterator[Lab]:
    """Start a server on the folder `served`, with the extension as an installation enables it."""
    settings = tmp_path / "config" / "jupyter_server_config.d"
    settings.mkdir(parents=True)
    (settings / "bigmama_nb.json").write_bytes((REPO / "bigmama_nb" / "lab.json").read_bytes())
    served = tmp_path / "served"
    (served / "archive" / "runs" / RUN / "1").mkdir(parents=True)
    words = [
        *(sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"),
        *(f"--IdentityProvider.token={token}", "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={served}"),
    ]
    profile = tmp_path / "profile.yaml"
    profile.write_text(PROFILE, encoding="utf-8")
    known = {
        "BIGMAMA_PROFILE": str(profile),
        "JUPYTER_CONFIG_PATH": str(tmp_path / "config"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "mine"),
    }
    runtime = {"JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"), "HOME": str(tmp_path), "PYTHONPATH": str(REPO)}
    with subprocess.Popen(
        words, env=os.environ | known | runtime, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stderr is not None
        said = []
        for line in server.stderr:
            said.append(line)
            if "http://127.0.0.1:" in line:
                url = line[line.index("http://127.0.0.1:") :].split()[0].partition("?")[0].partition("tree")[0]
                _wait_for(int(url.split(":")[2].partition("/")[0]), server)
                yield Lab(url)
                break
        else:
            pytest.fail("".join(said))
        server.terminate()
        server.stderr.read()


def _wait_for(port: int, server: subprocess.Popen[str]) -> None:
    """Return once the server listens: it tells its address before."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert server.poll() is None, "the server ended"


def test_nothing_is_saved_over_an_archived_notebook(lab: Lab, tmp_path: Path) -> None:
    """Not the notebook, nor a new file beside it, nor by a link; elsewhere what is open can be saved."""
    served = tmp_path / "served"
    run_dir = served / "archive" / "runs" / RUN
    (run_dir / "run.json").write_text("{}")
    archived = notebook(run_dir / "1" / "10_extract.ipynb", work="1 + 1")
    archived.chmod(0o444)
    (served / "link").symlink_to(run_dir / "1")
    before = archived.read_bytes()
    path = f"archive/runs/{RUN}/1/10_extract.ipynb"
    status, opened = lab.contents("GET", path)
    assert status == 200
    model = {"type": "notebook", "format": "json", "content": opened["content"]}

    for refused in (path, "link/10_extract.ipynb", f"archive/runs/{RUN}/1/mine.ipynb"):
        status, said = lab.contents("PUT", refused, model)
        assert status == 403, said
        assert f"is what run {RUN} left, and is not changed. Save it under another name" in said["message"]
    assert archived.read_bytes() == before
    assert [one.name for one in (run_dir / "1").iterdir()] == ["10_extract.ipynb"]

    assert lab.contents("PUT", "mine.ipynb", model)[0] == 201
    assert (served / "mine.ipynb").is_file()


def archived(lab: Lab, served: Path) -> tuple[Path, dict[str, bytes]]:
    """Put a run into the archive; return its folder and what it holds."""
    run_dir = served / "archive" / "runs" / RUN
    (run_dir / "run.json").write_text("{}")
    notebook(run_dir / "1" / "10_extract.ipynb", work="1 + 1").chmod(0o444)
    (run_dir / "1" / "data").mkdir()
    (run_dir / "1" / "data" / "planned.parquet").write_bytes(b"PAR1")
    notebook(served / "mine.ipynb", work="2")
    (served / "folder").mkdir()
    (served / "folder" / "x.txt").write_text("x")
    (served / "link").symlink_to(run_dir / "1")
    return run_dir, held(served)


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


IN = f"archive/runs/{RUN}/1"
CHANGES: list[tuple[str, str, dict[str, Any] | None]] = [
    *(("DELETE", path, None) for path in (f"{IN}/10_extract.ipynb", "link/10_extract.ipynb", f"{IN}/data", IN)),
    *(("DELETE", path, None) for path in (f"archive/runs/{RUN}/run.json", f"archive/runs/{RUN}")),
    *(("DELETE", path, None) for path in ("archive/runs", "archive")),
    *(("PATCH", path, {"path": "out.ipynb"}) for path in (f"{IN}/10_extract.ipynb", "link/10_extract.ipynb")),
    *(("PATCH", path, {"path": "elsewhere"}) for path in (IN, f"archive/runs/{RUN}", "archive/runs", "archive")),
    *(("PATCH", "mine.ipynb", {"path": f"{place}/10_new.ipynb"}) for place in (IN, "link")),
    ("PATCH", "mine.ipynb", {"path": f"archive/runs/{RUN}/run2.json"}),
    ("PATCH", "folder", {"path": f"{IN}/folder"}),
    *(("POST", place, {"copy_from": "mine.ipynb"}) for place in (IN, "link")),
    ("POST", IN, {"copy_from": "folder"}),
    *(("POST", IN, {"type": kind}) for kind in ("notebook", "file", "directory")),
    ("POST", f"{IN}/10_extract.ipynb/checkpoints", None),
    ("POST", f"{IN}/10_extract.ipynb/checkpoints/checkpoint", None),
    ("DELETE", f"{IN}/10_extract.ipynb/checkpoints/checkpoint", None),
    *(("PUT", f"{IN}/{name}", {"type": "directory"}) for name in ("mine", "data")),
    *(
        ("PUT", f"{IN}/log.jsonl", {"type": "file", "format": "text", "content": "x", "chunk": chunk})
        for chunk in (1, 2, -1)
    ),
]


def test_nothing_in_the_archive_is_renamed_deleted_or_made(lab: Lab, tmp_path: Path) -> None:
    """By whatever of the contents API, by a link and with a folder above: each is refused and changes nothing."""
    served = tmp_path / "served"
    run_dir, before = archived(lab, served)
    for method, path, model in CHANGES:
        status, said = lab.contents(method, path, model)
        assert (method, path, status) == (method, path, 403), said
        assert f"run {RUN} left" in said["message"], said
        assert held(served) == before
    assert not list(run_dir.rglob(".ipynb_checkpoints"))


def test_what_is_ones_own_is_changed_as_ever(lab: Lab, tmp_path: Path) -> None:
    """A copy of an archived notebook goes elsewhere, and there everything is renamed and deleted."""
    served = tmp_path / "served"
    run_dir, _ = archived(lab, served)
    before = held(run_dir)
    assert lab.contents("POST", "folder", {"copy_from": f"{IN}/10_extract.ipynb"})[0] == 201
    assert lab.contents("POST", "mine.ipynb/checkpoints", None)[0] == 201
    assert lab.contents("PATCH", "mine.ipynb", {"path": "yours.ipynb"})[0] == 200
    assert lab.contents("DELETE", "yours.ipynb")[0] == 204
    assert lab.contents("DELETE", "folder/x.txt")[0] == 204
    assert [path.name for path in (served / "folder").iterdir() if path.is_file()] == ["10_extract.ipynb"]
    assert held(run_dir) == before


def test_a_folder_that_only_looks_like_a_runs_is_written(lab: Lab, tmp_path: Path) -> None:
    """Without a record there is no run: it is anybody's folder."""
    model = {"type": "file", "format": "text", "content": "1"}
    assert lab.contents("PUT", f"archive/runs/{RUN}/1/mine.txt", model)[0] == 201
    assert (tmp_path / "served" / "archive" / "runs" / RUN / "1" / "mine.txt").read_text() == "1"


def test_the_archives_pages_are_shown_and_nothing_else_of_it(lab: Lab, tmp_path: Path) -> None:
    """A page in an origin of its own, what all share; no record, no notebook, and nothing outside of the archive."""
    archive = tmp_path / "served" / "archive"
    (archive / "index.html").write_text("<p>front", encoding="utf-8")
    (archive / "runs" / RUN / "index.html").write_text("<p>run", encoding="utf-8")
    (archive / "runs" / RUN / "run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "served" / "secret.html").write_text("<p>secret", encoding="utf-8")
    (archive / "link.html").symlink_to(tmp_path / "served" / "secret.html")
    for path, says in (("archive/", b"<p>front"), (f"archive/runs/{RUN}/index.html", b"<p>run")):
        status, said, headers = lab.get(path)
        assert (status, said) == (200, says)
        assert "sandbox allow-scripts" in headers["Content-Security-Policy"]
        assert "allow-same-origin" not in headers["Content-Security-Policy"]
    for path in (f"archive/runs/{RUN}/run.json", "archive/..%2fsecret.html", "archive/link.html", "archive/none.html"):
        status, said, _ = lab.get(path)
        assert status == 404
        assert b"secret<" not in said
    status, said, headers = lab.get("archive/assets/site.css")
    assert (status, said.decode()) == (200, asset_text("site.css"))
    assert headers["Content-Type"].startswith("text/css")
    assert lab.get("archive/assets/..%2fpages.py")[0] == 404


def test_an_archive_without_pages_says_what_makes_them(lab: Lab) -> None:
    """Who follows the link before the first run is not left with a bare 404."""
    status, said, _ = lab.get("archive/")
    assert status == 404
    assert b"A run makes its pages; 'run_all.py runs site' makes all of them again." in said


def test_pages_are_shown_to_who_may_use_the_server(tmp_path: Path) -> None:
    """Nobody reads the archive past the server's token; what all pages share is no secret."""
    with started(tmp_path, token="known") as lab:
        (tmp_path / "served" / "archive" / "index.html").write_text("<p>front", encoding="utf-8")
        status, said, headers = lab.get("archive/")
        assert (status, b"front" in said) == (302, False)
        assert "/login" in headers["Location"]
        assert lab.get("archive/", Authorization="token known")[:2] == (200, b"<p>front")
        assert lab.get("archive/assets/site.js")[0] == 200
