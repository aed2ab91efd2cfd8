"""What libraries import on their own and no run uses: the command and its kernels go without, until somebody asks.

Each of these costs a run a tenth of a second or more, whatever it does.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_GRAMMARS = ("rfc3987_syntax", "rfc3986_validator", "isoduration", "fqdn", "uri_template", "webcolors")
"""Of URIs, durations, hosts, colours: jsonschema builds them for nbformat, and no notebook's schema speaks of these."""
_DEBUGGER = "debugpy"
"""For ipykernel: nobody steps through the cells of a run."""
_OF_KERNELS = (*_GRAMMARS, _DEBUGGER)
_STORES = "boto3"
"""For papermill: it is given notebooks, and no address of one."""
_HTTP = "requests"
_PLUGINS = "entrypoints"
"""By it papermill twice looks through all packages for further stores and engines; a run names its own engine."""
_DIALECTS = "ibis.backends.sql.compilers"
"""For whoever asks for the compiler of one: it imports those of twenty databases."""

_own_process: list[bool] = []


def own_process() -> bool:
    """Return whether this process is the command's alone."""
    return bool(_own_process)


def by_command() -> None:
    """Let a process that is the command's alone go without; whoever shares it with others has all that they expect."""
    _own_process[:] = [True]
    _deny(*_GRAMMARS, _STORES)
    sys.modules.setdefault(_HTTP, _Later(_HTTP))
    sys.modules.setdefault(_PLUGINS, _NoPlugins(_PLUGINS))


def by_kernels() -> None:
    """Let the process that kernels are forked from go without; it has what only the command goes without."""
    if own_process():
        _own_process.clear()
        for name, module in [*sys.modules.items()]:
            # papermill has looked for stores already.
            if module is None or isinstance(module, _StandIn) or name.split(".")[0] == "papermill":
                del sys.modules[name]
    _deny(*_OF_KERNELS)
    sys.meta_path.insert(0, _OneByOne())


def give_back() -> None:
    """Let who asks for them in a kernel have them."""
    for name in _OF_KERNELS:
        if sys.modules.get(name, name) is None:
            del sys.modules[name]


def _deny(*names: str) -> None:
    """Let an import of modules fail that are not loaded yet."""
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def arrow_without_pandas() -> None:
    """Let pyarrow go without pandas, which it imports when it is first given a list, until it is asked for a frame.

    It would not know a frame that it is given before that: only where the process is the command's alone, whose
    tables come from tasks and records.
    """
    if not own_process() or "pandas" in sys.modules:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, absent := _NoPandas())
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(absent)


class _NoPandas(MetaPathFinder):
    """Finds that there is none."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


class _StandIn(ModuleType):
    """Is there in place of a module."""


class _OneByOne(MetaPathFinder, Loader):
    """Finds the package of Ibis's compilers, and runs it when it is first asked for what is none of its modules."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name != _DIALECTS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            spec.loader, self._own = self, spec.loader
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _NotRun(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._own


class _NotRun(ModuleType):
    """A package of which nothing but its modules was asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


class _Later(_StandIn):
    """A module that is imported when something of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class _NoPlugins(_StandIn):
    """The module `entrypoints` of an environment in which no package offers any."""

    @staticmethod
    def get_group_all(_group: str) -> list[Any]:
        return []
