"""A stored file that many threads read at once: every thread has a position of its own."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable


class RangeReader(io.RawIOBase):
    """A seekable binary file of `size` bytes, whose pieces come from `read_range(offset, length)`.

    DuckDB lets its threads seek and read over one handle. A shared position mixes them up: hdfs-native says "Already
    borrowed", others would return another place's bytes.
    """

    def __init__(self, size: int, read_range: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._read_range = read_range
        self._own = threading.local()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set this thread's position and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        self._own.at = max(0, start + offset)
        return self.tell()

    def tell(self) -> int:
        """Return this thread's position."""
        return int(getattr(self._own, "at", 0))

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes from this thread's position on, all that is left where it is negative."""
        at = self.tell()
        left = max(0, self._size - at)
        length = left if size is None or size < 0 else min(size, left)
        content = bytes(self._read_range(at, length)) if length else b""
        self._own.at = at + len(content)
        return content

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True
