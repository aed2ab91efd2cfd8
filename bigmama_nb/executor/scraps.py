"""Small status records that a notebook leaves for who reads it: scraps, as scrapbook reads them.

A few lines of our own write them: `import scrapbook` inside a kernel loads papermill, nbformat and JSON schemas.
Outside, `scrapbook.read_notebook(path).scraps` reads them back, and so does `read`, from a notebook in memory.
The format: https://nteract-scrapbook.readthedocs.io, "Scrap payload".
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

MIME = "application/scrapbook.scrap."
VERSION = 1


def glue(name: str, data: Any) -> None:
    """Leave `data` in the notebook under `name`; a later scrap of that name replaces it.

    Args:
        name: what the scrap is read back by.
        data: what JSON holds: str, bool, int, finite float, list and dict of them, None inside a list or dict.
            A date or datetime becomes its ISO 8601 text, a numpy scalar the Python value.
            Tables do not belong here: they go to Parquet, and their path into a scrap.

    Raises:
        TypeError: `data` holds something else; the place in it is named. Nothing is left in the notebook.
        ValueError: `data` holds NaN or an infinity, which JSON cannot say.
    """
    from IPython.display import display  # IPython is there in a kernel and slow to import elsewhere

    about = {"scrapbook": {"name": name, "data": True, "display": False}}
    display(bundle(name, data), metadata=about, raw=True)


def bundle(name: str, data: Any) -> dict[str, Any]:
    """Return the MIME bundle that says `name` is `data`; raises as `glue` does."""
    if data is None:
        raise TypeError(f"scrap {name!r} is None, which scrapbook does not hold; leave the scrap out or glue a dict")
    plain = _plain(data, name)
    # As JSON scrapbook would parse a text: the scrap "123" would come back as the number.
    encoder = "text" if isinstance(plain, str) else "json"
    return {f"{MIME}{encoder}+json": {"name": name, "data": plain, "encoder": encoder, "version": VERSION}}


def read(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scraps of a notebook in memory: name to data, the last of a name."""
    return {
        str(payload["name"]): payload["data"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        for mime, payload in output.get("data", {}).items()
        if mime.startswith(MIME) and isinstance(payload, Mapping) and {"name", "data"} <= payload.keys()
    }


def _plain(data: Any, place: str) -> Any:
    if data is None or isinstance(data, str | bool | int):
        return data
    if isinstance(data, float):
        if not math.isfinite(data):
            raise ValueError(f"scrap {place} is {data}; JSON holds finite numbers only: glue None in a dict or a text")
        return float(data)
    if isinstance(data, dt.date):
        return data.isoformat()
    if isinstance(data, Mapping):
        for key in data:
            if not isinstance(key, str):
                raise TypeError(f"scrap {place} has the key {key!r} ({type(key).__name__}); expected str")
        return {key: _plain(value, f"{place}.{key}") for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, bytes | bytearray):
        return [_plain(value, f"{place}[{at}]") for at, value in enumerate(data)]
    if getattr(data, "shape", None) == () and hasattr(data, "item"):
        return _plain(data.item(), place)
    raise TypeError(
        f"scrap {place} is a {type(data).__name__}; expected str, bool, int, float, date, list or dict. "
        "A table goes to Parquet, and its path into the scrap."
    )
