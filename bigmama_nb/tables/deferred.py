"""Ibis for the tables' expressions, imported when the first of them is built.

Every command and kernel reads the contracts, and few build a table from them. Who writes an expression imports `ibis`
and `_` from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis
    from ibis import _
else:

    class _Ibis:
        def __getattr__(self, name: str) -> Any:
            import ibis

            return getattr(ibis, name)

    class _Row:
        """The table that an expression is of: `_.name` is its column."""

        def __getattr__(self, name: str) -> Any:
            from ibis import _

            return getattr(_, name)

    ibis, _ = _Ibis(), _Row()

__all__ = ["_", "ibis"]
