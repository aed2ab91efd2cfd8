"""Templates compiled once and kept beside Python's own compiled modules, where Python may keep these."""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket

FOLDER = Path(__file__).parent / "__pycache__" / "templates"


def keep_compiled(environment: jinja2.Environment, module: str, *versions: str, folder: Path = FOLDER) -> None:
    """Let an environment keep its compiled templates, and take those that are of the same source.

    Args:
        module: the file that makes the environment: other settings compile otherwise, and what a filter makes of a
            constant is compiled in.
        versions: of what else has a part in it.
        folder: where they are kept.
    """
    of = hashlib.sha256(repr([Path(module).read_bytes(), jinja2.__version__, *versions]).encode()).hexdigest()[:16]
    with suppress(OSError):
        if not sys.dont_write_bytecode:
            folder.mkdir(parents=True, exist_ok=True)
    environment.bytecode_cache = _Cache(str(folder), f"{Path(module).stem}-{of}-%s")


class _Cache(jinja2.FileSystemBytecodeCache):
    """One that is never in the way: what cannot be kept or read is compiled again."""

    def load_bytecode(self, bucket: Bucket) -> None:
        try:
            super().load_bytecode(bucket)
        except Exception:  # a file that is cut raises whatever its bytes say
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)
