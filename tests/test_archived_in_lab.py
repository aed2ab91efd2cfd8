"""JupyterLab saves nothing over an archived notebook, whoever asks: a real server, as root too."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.runs.stages import notebook

REPO = Path(__file__).parent.parent
RUN = "20240502T020304Z-1a2b3c"


@dataclass(frozen=True)
class Lab:
    """A Jupyter server on a folder."""

    url: str

    def contents(self, method: str, path: str, model: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Ask its contents API; return the HTTP status and what it says."""
        body = None if model is None else json.dumps(model).encode()
        request = urllib.request.Request(f"{self.url}api/contents/{path}", body, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A server on the folder `served`, with the extension as an installation enables it."""
    settings = tmp_path / "config" / "jupyter_server_config.d"
    settings.mkdir(parents=True)
    (settings / "bigmama_nb.json").write_bytes((REPO / "bigmama_nb" / "lab.json").read_bytes())
    served = tmp_path / "served"
    (served / "archive" / "runs" / RUN / "1").mkdir(parents=True)
    words = [
        *(sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"),
        *("--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={served}"),
    ]
    known = {"JUPYTER_CONFIG_PATH": str(tmp_path / "config"), "JUPYTER_CONFIG_DIR": str(tmp_path / "mine")}
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


def test_a_folder_that_only_looks_like_a_runs_is_written(lab: Lab, tmp_path: Path) -> None:
    """Without a record there is no run: it is anybody's folder."""
    model = {"type": "file", "format": "text", "content": "1"}
    assert lab.contents("PUT", f"archive/runs/{RUN}/1/mine.txt", model)[0] == 201
    assert (tmp_path / "served" / "archive" / "runs" / RUN / "1" / "mine.txt").read_text() == "1"
