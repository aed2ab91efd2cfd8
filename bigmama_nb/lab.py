"""JupyterLab beside the archive: nothing is saved over what a run left, whoever asks; a copy goes elsewhere.

Archived files are read-only, which stops an editor that saves by itself, and does not stop root. So this is an
extension of the Jupyter server too, which `lab.json` enables in every server of the environment.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tornado.web import HTTPError

ATTEMPT = re.compile(r"(?P<run>.*/runs/\d{8}T\d{6}Z-[0-9a-f]{6})/\d+/")
"""The folder of a run's attempt, and all that lies in it."""


def refuse_archived(model: dict[str, Any], path: str, contents_manager: Any, **_: object) -> None:
    """Refuse to save into the folder of an archived attempt.

    Raises:
        HTTPError: 403, with what to do instead; the file is as it was.
    """
    place = Path(contents_manager.root_dir, path.strip("/"))
    # Also by a link that leads into the archive.
    for spelled in {str(place), str(place.resolve())}:
        found = ATTEMPT.match(spelled)
        if found is not None and Path(found["run"], "run.json").is_file():
            raise HTTPError(
                403,
                f"{place.name} is what run {Path(found['run']).name} left, and is not changed. Save it under another "
                "name in a folder of your own (File, Save Notebook As).",
            )


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_pre_save_hook(refuse_archived)
