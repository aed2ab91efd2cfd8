"""What a notebook's `parameters` cell takes, and whether what it is given fits.

papermill only logs an unknown parameter, enforces no type, and its own inspection misses an annotation such as
`str | None` and a line with a second `=`. So the cell is read as the Python that it is.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from bigmama_nb.errors import UsageError, did_you_mean
from bigmama_nb.executor.redact import Redactor

_PLAIN = {
    "str": str,
    "int": int,
    "bool": bool,
    "list": list,
    "dict": dict,
    "List": list,
    "Dict": dict,
    "object": object,
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None

    @property
    def expected(self) -> str:
        """Its type in words, as the cell says it; empty where it says none."""
        if self.annotation is not None:
            if isinstance(self.annotation, ast.Constant) and isinstance(self.annotation.value, str):
                return self.annotation.value
            return ast.unparse(self.annotation)
        kind = _kind_of(self.default)
        return kind.__name__ if kind is not None else ""

    def takes(self, value: object) -> bool:
        """Return whether the value is of its type: the annotated one, else its default's."""
        if self.annotation is not None:
            return _fits(value, self.annotation)
        kind = _kind_of(self.default)
        return kind is None or _is(value, kind)


def parameters_of(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name: what its cell tagged `parameters` assigns.

    Raises:
        UsageError: the file is missing, is no notebook, has no such cell, or that cell is not Python.
    """
    try:
        read = nbformat.read(notebook, as_version=4)
        cells = [cell for cell in read.cells if "parameters" in cell.metadata.get("tags", ())]
    except OSError as error:
        raise UsageError(f"{notebook}: cannot be read ({error.strerror}). Nothing was run.") from None
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{notebook}: not a notebook ({said[:200]}). Nothing was run.") from None
    if not cells:
        raise UsageError(f"{notebook.name}: has no cell tagged 'parameters'. Nothing was run.")
    try:
        body = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise UsageError(
            f"{notebook.name}: the cell tagged 'parameters' is not Python (line {error.lineno}: {error.msg}). "
            "Nothing was run."
        ) from None
    found: dict[str, Parameter] = {}
    for statement in body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = Parameter(statement.target.id, statement.annotation, statement.value)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    found[target.id] = Parameter(target.id, None, statement.value)
    return found


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook does not have, or not so.

    A type is what the `parameters` cell annotates, else its default's; a default of None without annotation takes
    anything. An int fits a float, a bool fits no int. A value must be what JSON holds, since papermill writes it so.

    Raises:
        UsageError: every refusal, one a line, or the notebook cannot be read (`parameters_of`).
    """
    known = parameters_of(notebook)
    problems = []
    for name, value in parameters.items():
        if name not in known:
            names = ", ".join(known) or "none"
            problems.append(f"parameter {name!r} is unknown; the notebook's are {names}.{did_you_mean(name, known)}")
        elif (odd := _not_json(value)) is not None:
            problems.append(f"parameter {name!r} holds {odd}; expected what JSON holds.")
        elif not known[name].takes(value):
            shown, _ = Redactor().text(repr(value))
            shown = shown if len(shown) <= 60 else shown[:59] + "…"
            problems.append(f"parameter {name!r} is {shown} ({type(value).__name__}); expected {known[name].expected}.")
    if problems:
        raise UsageError("\n".join(f"{notebook.name}: {problem} Nothing was run." for problem in problems))


def with_values(source: str, values: Mapping[str, Any]) -> str:
    """Return the source of a `parameters` cell with these values in place of its defaults; comments stay."""
    lines = source.encode().splitlines(keepends=True)
    found: list[tuple[ast.expr, str]] = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign | ast.Assign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [target.id for target in targets if isinstance(target, ast.Name) and target.id in values]
            found += [(statement.value, repr(values[name])) for name in names[:1]]
    for default, text in reversed(found):
        first, last = default.lineno - 1, (default.end_lineno or default.lineno) - 1
        rest = lines[last][default.end_col_offset :]
        lines[first : last + 1] = [lines[first][: default.col_offset] + text.encode() + rest]
    return b"".join(lines).decode()


def _kind_of(default: ast.expr | None) -> type | None:
    if default is None:
        return None
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return None
    return None if value is None else type(value)


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _fits(value: object, annotation: ast.expr) -> bool:
    match annotation:
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str() as text):
            try:
                return _fits(value, ast.parse(text, mode="eval").body)
            except SyntaxError:
                return True
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _fits(value, left) or _fits(value, right)
        case ast.Name(id="float") | ast.Attribute(attr="float"):
            return _is(value, float)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _PLAIN:
            return _is(value, _PLAIN[name])
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inside):
            return _fits_generic(value, name, inside)
    return True  # a type that JSON knows nothing of: the notebook's own affair


def _fits_generic(value: object, name: str, inside: ast.expr) -> bool:
    each = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if name == "Optional":
        return value is None or _fits(value, inside)
    if name == "Union":
        return any(_fits(value, one) for one in each)
    if name == "Literal":
        return any(isinstance(one, ast.Constant) and value == one.value for one in each)
    if name in ("list", "List", "Sequence", "Iterable"):
        return isinstance(value, list) and all(_fits(item, inside) for item in value)
    if name in ("dict", "Dict", "Mapping") and len(each) == 2:
        return isinstance(value, dict) and all(_fits(k, each[0]) and _fits(v, each[1]) for k, v in value.items())
    return True


def _not_json(value: object) -> str | None:
    """Name what in the value JSON does not hold; None where it holds it all."""
    if value is None or isinstance(value, str | bool | int):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"the number {value}"
    if isinstance(value, list):
        return next((odd for item in value if (odd := _not_json(item)) is not None), None)
    if isinstance(value, dict):
        for odd_key in (key for key in value if not isinstance(key, str)):
            return f"the key {odd_key!r} ({type(odd_key).__name__})"
        return next((odd for item in value.values() if (odd := _not_json(item)) is not None), None)
    return f"a {type(value).__name__}"
