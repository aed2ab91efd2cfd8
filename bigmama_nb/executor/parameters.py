"""What a notebook's `parameters` cell takes, and whether what it is given fits.

papermill only logs an unknown parameter, enforces no type, and its own inspection misses an annotation such as
`str | None` and a line with a second `=`. So the cell is read as the Python that it is.
"""

from __future__ import annotations

import ast
import math
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from pydantic import PydanticUserError, TypeAdapter, ValidationError

from bigmama_nb.errors import UsageError, did_you_mean
from bigmama_nb.executor.redact import Redactor

INJECTED = "# Parameters\n"
"""What papermill begins the cell with that it puts behind the `parameters` cell."""
_OF_A_TYPE = (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp, ast.BitOr, ast.Constant, ast.Tuple, ast.List, ast.Load)


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
        return fits(value, _named(self.annotation) if self.annotation is not None else _kind_of(self.default))


def parameters_of(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name: what its cell tagged `parameters` assigns.

    Raises:
        UsageError: the file is missing, is no notebook, has no such cell, or that cell is not Python.
    """
    try:
        read = nbformat.read(notebook, as_version=4)
        cells = [cell for cell in read.cells if "parameters" in cell.metadata.get("tags", ())]
    except OSError as error:
        raise UsageError(f"{notebook}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{notebook}: not a notebook ({said[:200]})") from None
    if not cells:
        raise UsageError(f"{notebook.name}: has no cell tagged 'parameters'")
    try:
        body = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise UsageError(
            f"{notebook.name}: the cell tagged 'parameters' is not Python (line {error.lineno}: {error.msg})"
        ) from None
    return _assignments(body)


def _assignments(body: Iterable[ast.stmt]) -> dict[str, Parameter]:
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
            problems.append(_unknown(name, known))
        elif (odd := _not_json(value)) is not None:
            problems.append(f"parameter {name!r} holds {odd}; expected what JSON holds.")
        elif not known[name].takes(value):
            problems.append(mistyped(name, value, known[name].expected))
    if problems:
        raise refusal(notebook.name, problems)


def require_injected(name: str, cells: Sequence[str], *, understood: Collection[str] = ()) -> None:
    """Refuse what papermill gave a notebook that it does not have, or not so; papermill itself only logs it.

    Args:
        name: the notebook's.
        cells: the sources of the cells that ran so far.
        understood: parameters whose values are looked at elsewhere.

    Raises:
        UsageError: every refusal, one a line.
    """
    at = next((n for n in range(len(cells) - 1, 0, -1) if cells[n].startswith(INJECTED)), None)
    # Where the cell before it ran again since, the given ones were taken out of the notebook.
    if at is None or cells[at - 1] in cells[at + 1 :]:
        return
    known = _assigned(cells[at - 1])
    problems = []
    for given, parameter in _assigned(cells[at]).items():
        if given not in known:
            problems.append(_unknown(given, known))
        elif given not in understood and parameter.default is not None:
            try:
                value = ast.literal_eval(parameter.default)
            except ValueError:
                continue  # NaN, which papermill writes as float('nan'): a number, whatever it is for
            if not known[given].takes(value):
                problems.append(mistyped(given, value, known[given].expected))
    if problems:
        raise refusal(name, problems)


def _assigned(cell: str) -> dict[str, Parameter]:
    try:
        return _assignments(ast.parse(cell).body)
    except SyntaxError:
        return {}  # a cell with a magic


def _unknown(name: str, known: Mapping[str, Parameter]) -> str:
    names = ", ".join(known) or "none"
    return f"parameter {name!r} is unknown; the notebook's are {names}.{did_you_mean(name, known)}"


def mistyped(name: str, value: object, expected: str) -> str:
    """Return that a parameter is of another type than expected, its value without secrets."""
    shown, _ = Redactor().text(repr(value))
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    return f"parameter {name!r} is {shown} ({type(value).__name__}); expected {expected}"


def refusal(notebook: str, problems: Iterable[str]) -> UsageError:
    """Return the error that tells of parameters, one a line."""
    return UsageError(*(f"{notebook}: {problem}" for problem in problems))


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


def fits(value: object, kind: Any) -> bool:
    """Return whether a value is of a type as it is: an int is a float too, nothing else is converted."""
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    except PydanticUserError:
        return True  # a type that JSON knows nothing of: the notebook's own affair
    return True


def _kind_of(default: ast.expr | None) -> Any:
    try:
        value = ast.literal_eval(default) if default is not None else None
    except ValueError:
        return Any
    return Any if value is None else type(value)


def _named(annotation: ast.expr) -> Any:
    """Return the type that an annotation names; any, where it names none that is known here."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return Any
    if not all(isinstance(node, _OF_A_TYPE) for node in ast.walk(annotation)):
        return Any
    holder = type("Holder", (), {"__annotations__": {"value": ast.unparse(annotation)}})
    try:
        return typing.get_type_hints(holder, {**vars(typing), "typing": typing})["value"]
    except (NameError, TypeError, AttributeError):
        return Any


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
