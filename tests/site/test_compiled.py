"""Templates that were compiled once are taken as they were, and never in place of what their source says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest

from bigmama_nb.site.compiled import keep_compiled


class Compiling(jinja2.Environment):
    """Says what it compiled."""

    def __init__(self, folder: Path, source: str, *versions: str, module: str = __file__) -> None:
        super().__init__(loader=jinja2.DictLoader({"page": source}))
        self.compiled: list[str] = []
        keep_compiled(self, module, *versions, folder=folder)

    def compile(self, source: Any, name: Any = None, *args: Any, **named: Any) -> Any:
        self.compiled.append(str(name))
        return super().compile(source, name, *args, **named)

    def page(self, **values: object) -> str:
        return self.get_template("page").render(**values)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are kept in these tests, whatever Python was told."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path / "kept"


def test_a_template_is_compiled_once(folder: Path) -> None:
    """The next process takes it, and makes the same page of it."""
    first, second = Compiling(folder, "{{ x }}!"), Compiling(folder, "{{ x }}!")

    assert [first.page(x=1), second.page(x=2)] == ["1!", "2!"]
    assert (first.compiled, second.compiled) == (["page"], [])


def test_a_changed_source_is_compiled_anew(folder: Path) -> None:
    """What is kept is of one source."""
    Compiling(folder, "before").page()

    assert Compiling(folder, "after").page() == "after"


@pytest.mark.parametrize("what", ["module", "version"])
def test_what_another_compiled_is_not_taken(folder: Path, tmp_path: Path, what: str) -> None:
    """A filter's code is compiled in where it is given a constant: here another module's, or another version's."""
    (tmp_path / "pages.py").write_text("other settings and filters")
    Compiling(folder, "{{ 'a' | upper }}", "1").page()
    other = Compiling(folder, "{{ 'a' | upper }}", "2")
    if what == "module":
        other = Compiling(folder, "{{ 'a' | upper }}", "1", module=str(tmp_path / "pages.py"))
    other.filters["upper"] = lambda text: f"other {text}"

    assert other.page() == "other a"


@pytest.mark.parametrize("left", [0, 20, 60])
def test_one_that_is_cut_is_compiled_anew(folder: Path, left: int) -> None:
    """As a full disk or a power cut may leave it."""
    Compiling(folder, "{{ x }}").page(x=1)
    (kept,) = folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:left])

    assert Compiling(folder, "{{ x }}").page(x=2) == "2"


def test_where_nothing_can_be_kept_all_is_compiled(folder: Path) -> None:
    """Here a file stands where the folder would be, as one that may not be made or written to."""
    folder.write_text("")

    assert [Compiling(folder, "{{ x }}").page(x=x) for x in (1, 2)] == ["1", "2"]


def test_nothing_is_kept_where_python_may_keep_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHONDONTWRITEBYTECODE stands for all that is compiled."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    assert Compiling(folder, "{{ x }}").page(x=1) == "1"
    assert not folder.exists()
