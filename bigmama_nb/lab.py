"""JupyterLab beside the archive: its review site at `/archive/`, and nothing changes what a run left.

Archived files are read-only, which stops an editor that saves by itself, and does not stop root. So this is an
extension of the Jupyter server too, which `lab.json` enables in every server of the environment; the link to the site
is a button in JupyterLab's top bar, by `lab_settings.json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, RequestHandler, authenticated

from bigmama_nb.errors import BigmamaError

RUN = re.compile(r"(?P<run>.*/runs/\d{8}T\d{6}Z-[0-9a-f]{6})(?=/|$)")
"""The folder of a run, and all that lies in it."""
ABOVE = 5
"""So many folders above a run what is to be renamed or deleted is searched for runs that it would take along."""


def refuse_archived(place: Path) -> None:
    """Refuse to write at a place in the folder of an archived run.

    Raises:
        HTTPError: 403, with what to do instead; the file is as it was.
    """
    # Also by a link that leads into the archive; a link within it is what a run left, wherever it leads.
    for spelled in {str(place), str(place.resolve()), str(place.parent.resolve() / place.name)}:
        found = RUN.match(spelled)
        if found is not None and Path(found["run"], "run.json").is_file():
            raise HTTPError(
                403,
                f"{place.name} is what run {Path(found['run']).name} left, and is not changed. Save it under another "
                "name in a folder of your own (File, Save Notebook As).",
            )


def refuse_with_runs(place: Path) -> None:
    """Refuse to rename or delete a folder that holds archived runs, at whatever depth of ABOVE.

    Raises:
        HTTPError: 403; everything is as it was.
    """
    records = [] if place.is_symlink() else [one for n in range(ABOVE) for one in place.glob("*/" * n + "run.json")]
    held = next((one.parent for one in records if RUN.match(str(one.resolve().parent))), None)
    if held is not None:
        raise HTTPError(
            403,
            f"{place.name} holds what run {held.name} left, and is neither renamed nor deleted here; "
            "'run_all.py runs prune' drops old runs.",
        )


def _guard(manager: Any, name: str, written: Callable[..., Sequence[str]], *, moves: bool = False) -> None:
    """Have a method of the contents manager refuse archived places.

    Args:
        written: what the method writes at, or takes away, of what it is given.
        moves: it takes along what lies below, too.
    """
    does = getattr(manager, name)

    def guarded(*given: Any, **named: Any) -> Any:
        for path in written(*given, **named):
            place = Path(manager.root_dir, path.strip("/"))
            refuse_archived(place)
            if moves:
                refuse_with_runs(place)
        return does(*given, **named)

    setattr(manager, name, guarded)


def guard_contents(manager: Any) -> None:
    """Have a contents manager change nothing of what runs left, in whatever way it is asked to."""
    _guard(manager, "save", lambda model, path="": [path])
    # A copy of a folder is made without `save`.
    _guard(
        manager, "copy", lambda from_path, to_path=None: [from_path.rpartition("/")[0] if to_path is None else to_path]
    )
    _guard(manager, "delete", lambda path: [path], moves=True)
    _guard(manager, "rename", lambda old_path, new_path: [old_path, new_path], moves=True)
    # A checkpoint is a file beside the notebook; brought back, it replaces it.
    _guard(manager, "create_checkpoint", lambda path: [path])
    _guard(manager, "restore_checkpoint", lambda checkpoint_id, path: [path])
    _guard(manager, "delete_checkpoint", lambda checkpoint_id, path: [path])


class Page(JupyterHandler):
    """A page of the review site, to who may use the server: read, never written.

    It stands in an origin of its own (`sandbox`): whatever a page holds, it cannot speak for its reader to the server.
    """

    @property
    def content_security_policy(self) -> str:
        return "sandbox allow-scripts allow-popups allow-modals; frame-ancestors 'self'"

    @authenticated
    def get(self, path: str) -> None:
        """Answer with the page; where there is none with 404 and what to do."""
        from bigmama_nb.profile import load  # every server of the environment starts without it

        try:
            root = Path(load(None).archive.uri).resolve()
        except BigmamaError as error:
            self._missing(str(error))
            return
        found = (root / (path or "index.html")).resolve()
        if found.is_relative_to(root) and found.suffix == ".html" and found.is_file():
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(found.read_bytes())
        else:
            self._missing(
                f"{root}: the archive has no page {path or 'index.html'!r}. A run makes its pages; 'run_all.py runs "
                "site' makes all of them again."
            )

    def _missing(self, why: str) -> None:
        # Jupyter's own page of a 404 does not say why.
        self.set_status(404)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(why)


class Asset(RequestHandler):
    """What all pages share, from the package. Pages have no origin, so that a browser asks without who it is."""

    def get(self, name: str) -> None:
        """Answer with the asset.

        Raises:
            HTTPError: 404, the pages have no such asset.
        """
        from bigmama_nb.site import pages

        if name not in pages.ASSETS:
            raise HTTPError(404)
        kind = {"css": "text/css", "js": "text/javascript"}.get(name.rpartition(".")[2], "text/plain")
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish(pages.asset_text(name))


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    guard_contents(server.contents_manager)
    archive = url_path_join(server.web_app.settings["base_url"], "archive")
    server.web_app.add_handlers(".*", [(f"{archive}/assets/(.*)", Asset), (f"{archive}/(.*)", Page)])
