"""A profile's file as plain data: a file of sane size, YAML 1.2, nothing that a run would stumble over later."""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bigmama_nb.errors import ProfileError, did_you_mean, printable
from bigmama_nb.profile.messages import named

BYTES = 4_000_000
"""Of a profile's file; a thousand games take a tenth of it."""
DEPTH = 50
"""How deep a value may stand."""
NODES = 200_000
"""Keys and values, those behind aliases counted wherever they are used."""
INT64 = range(-(2**63), 2**63)


def absolute(path: str | Path) -> Path:
    """Return the path from the root, with a leading `~` resolved.

    Raises:
        ProfileError: it begins with `~` and a name that this machine does not know as a user, or is no text.
    """
    try:
        found = Path(path).expanduser().absolute()
        str(found).encode()
    except UnicodeEncodeError:
        raise ProfileError(
            f"{printable(str(path))}: the profile cannot be used (its path holds bytes that are no text in UTF-8)",
            step="give it, or its folder, another name or a link",
        ) from None
    except (RuntimeError, KeyError):
        raise ProfileError(
            f"{path}: the profile cannot be read (this machine knows no user {Path(path).parts[0]!r})"
        ) from None
    return found


def content_of(path: Path) -> bytes:
    """Return the bytes of a profile's file.

    Raises:
        ProfileError: it is missing, no regular file, or larger than `BYTES`.
    """
    try:
        # Not blocking: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            content = _some(descriptor, BYTES + 1) if stat.S_ISREG(mode) else b""
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        if path.is_socket():
            raise ProfileError(f"{path}: the profile is a socket; expected a file") from None
        near = did_you_mean(path.name, _neighbours(path))
        why = error.strerror if isinstance(error, OSError) else error
        raise ProfileError(
            f"{path}: the profile cannot be read ({why}).{near} It is named by --profile, else by BIGMAMA_PROFILE, "
            "else it is parameters/sample.yaml"
        ) from None
    if not stat.S_ISREG(mode):
        raise ProfileError(f"{path}: the profile is {_kind(mode)}; expected a file")
    if len(content) > BYTES:
        raise ProfileError(f"{path}: the profile has more than {BYTES:,} bytes; is it another file?")
    return content


def parsed(path: Path, content: bytes) -> dict[str, Any]:
    """Return a profile's bytes as a mapping of plain values that share nothing.

    Raises:
        ProfileError: they are no YAML, no mapping, nested too deeply, or hold an alias of itself, a whole number beyond
            64 bits or half a surrogate pair; the place is named.
    """
    document = _yaml(path.name, content)
    if not isinstance(document, dict):
        raise ProfileError(f"{path.name}: found {named(document)}; expected a mapping with warehouse, archive, …")
    plain: dict[str, Any] = _Plain(path.name).value(document, ())
    return plain


def spelled(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of a profile that `parsed` reads as this mapping."""
    out = BytesIO()
    YAML(typ="safe", pure=True).dump(dict(document), out)
    return out.getvalue()


def _some(descriptor: int, size: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(size)


def _kind(mode: int) -> str:
    kinds = {"a folder": stat.S_ISDIR, "a pipe": stat.S_ISFIFO}
    return next((kind for kind, test in kinds.items() if test(mode)), "a device")


def _neighbours(path: Path) -> list[str]:
    try:
        return sorted(one.name for one in path.parent.glob("*.yaml"))
    except (OSError, ValueError):
        return []


def _yaml(file: str, content: bytes) -> Any:
    # YAML 1.2 with duplicate keys refused: PyYAML keeps the last of two games in silence and reads `no` as False.
    try:
        parser = YAML(typ="safe", pure=True)
        parser.Constructor = _Constructor
        return parser.load(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProfileError(f"{file}: byte {error.start} is not UTF-8") from None
    except YAMLError as error:
        place, problem = "", (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, MarkedYAMLError):
            mark = error.problem_mark
            place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark is not None else ""
            # Of a duplicate key the parser shows both values, and one may be a secret.
            problem = (error.problem or problem).splitlines()[0].partition('" with value')[0]
            problem += '"' if problem.startswith("found duplicate key") else ""
        raise ProfileError(f"{file}:{place} not valid YAML ({problem})") from None
    except RecursionError:
        raise ProfileError(f"{file}: nested deeper than {DEPTH} levels") from None
    except ValueError as error:  # 2024-02-30 has the form of a date, and the parser makes one of it
        what = str(error).splitlines()[0] if str(error) else "it cannot be read"
        kind = "a whole number is too long" if "digits" in what else f"a value is not what it has the form of ({what})"
        raise ProfileError(f"{file}: {kind}") from None
    except Exception as error:  # the parser's own stumbling, as over an empty !!int
        raise ProfileError(f"{file}: not valid YAML ({type(error).__name__})") from None


class _Constructor(SafeConstructor):
    """Refuses a number that a double does not hold: of 1e400 Python makes an infinity, which nobody has written."""

    def construct_yaml_float(self, node: Any) -> Any:
        """Return the number of a scalar; raises ValueError beyond a double's range."""
        found = super().construct_yaml_float(node)
        if math.isinf(found) and "inf" not in node.value.lower():
            raise ValueError(f"{node.value[:40]} is beyond a double; an infinity is written .inf")
        return found


_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.construct_yaml_float)


class _Plain:
    """Copies a document without what is shared in it, within the bounds."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._nodes = 0
        self._above: list[int] = []

    def value(self, found: Any, path: tuple[str, ...]) -> Any:
        self._nodes += 1
        if self._nodes > NODES:
            raise ProfileError(f"{self._file}: holds more than {NODES:,} values once its aliases are followed")
        if isinstance(found, dict | list):
            return self._collection(found, path)
        if isinstance(found, str):
            return self._text(found, path, within=path)
        if isinstance(found, int) and found not in INT64:
            raise self._refusal(path, "is a whole number beyond 64 bits")
        return found

    def _collection(self, found: dict[Any, Any] | list[Any], path: tuple[str, ...]) -> Any:
        if id(found) in self._above:
            raise self._refusal(path, "is an alias of what it stands in, and so has no end")
        if len(path) >= DEPTH:
            raise self._refusal(path[:5], f"is nested deeper than {DEPTH} levels")
        self._above.append(id(found))
        copied: Any
        if isinstance(found, list):
            copied = [self.value(item, (*path, str(at))) for at, item in enumerate(found)]
        else:
            copied = {}
            for key, item in found.items():
                name = self._text(key, path, within=()) if isinstance(key, str) else key
                copied[name] = self.value(item, (*path, _short(name)))
        self._above.pop()
        return copied

    def _text(self, text: str, path: tuple[str, ...], *, within: tuple[str, ...]) -> str:
        try:
            # JSON, which is YAML too, writes a character beyond 16 bits as two halves.
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._refusal(path, "holds half a surrogate pair, which is no character") from None
        if "\0" in whole and "match" not in within:
            raise self._refusal(path, "holds the character NUL, which no name has")
        return whole

    def _refusal(self, path: tuple[str, ...], what: str) -> ProfileError:
        return ProfileError(f"{self._file}: {'.'.join(path) or 'the profile'} {what}")


def _short(key: object) -> str:
    text = key if isinstance(key, str) else type(key).__name__
    return text if len(text) <= 40 else f"{text[:39]}…"


def resolve_paths(document: dict[str, Any], folder: Path) -> list[str]:
    """Make the paths in the document absolute, from `folder`; return what is wrong with those that cannot be."""
    problems: list[str] = []

    def resolve(section: object, key: str, at: str) -> None:
        if isinstance(section, dict) and isinstance(section.get(key), str) and section[key]:
            text = section[key].removeprefix("file://")
            if "://" in text:
                return
            try:
                path = Path(folder, Path(text).expanduser())
                # Since Python 3.13 `resolve` passes over links without an end.
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                    path.stat()
                section[key] = str(path.resolve())
            except (RuntimeError, OSError):
                why = "this machine knows no such user" if text.startswith("~") else "its symbolic links have no end"
                problems.append(f"{at}.{key} is {text!r}; {why}")

    clusters = document.get("clusters")
    live_play = document.get("live_play")
    resolve(document.get("warehouse"), "uri", "warehouse")
    resolve(document.get("archive"), "uri", "archive")
    if document.get("metrics_textfile") is not None:
        resolve(document, "metrics_textfile", "the profile")
    for name, cluster in clusters.items() if isinstance(clusters, dict) else ():
        resolve(cluster, "dump", f"clusters.{name}")
    if isinstance(live_play, dict):
        resolve(live_play.get("sources"), "uri", "live_play.sources")
    return problems
