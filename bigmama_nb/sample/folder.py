"""A folder that a generator makes once: whole, by a rename, and never over what somebody else put there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from bigmama_nb.errors import UsageError

STAMP = ".bigmama-sample.json"


def made_once(folder: Path, stamp: Mapping[str, Any], write: Callable[[Path], object]) -> Path:
    """Have `write` fill `folder`, unless it stands there already with this stamp.

    An older generator's folder is replaced as a whole. Safe to call from several processes at once.

    Returns:
        The folder, absolute.

    Raises:
        UsageError: the folder holds something that no generator of the sample made; it is left as it is.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(stamp) + "\n"
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if (folder / STAMP).is_file() and (folder / STAMP).read_text() == text:
            return folder
        if folder.exists() and any(folder.iterdir()) and not (folder / STAMP).is_file():
            raise UsageError(
                f"{folder}: holds files that are not the sample's",
                state="Nothing was written",
                step="name another folder in the profile, or move these files",
            )
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as workshop:
            made = Path(workshop, "made")
            made.mkdir()
            write(made)
            (made / STAMP).write_text(text)
            if folder.exists():
                folder.rename(Path(workshop, "superseded"))
            made.rename(folder)
    return folder
