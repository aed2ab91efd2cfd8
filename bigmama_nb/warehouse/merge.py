"""Merge: a run brings some keys of a partition, and every other row that stood there is carried over.

Source of the rules: docs/spec/publishing.md, "Rows that were there before".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from bigmama_nb.errors import NOTHING_PUBLISHED, ContractError, UsageError, with_state
from bigmama_nb.tables.contract import Table
from bigmama_nb.warehouse import Warehouse
from bigmama_nb.warehouse.catalog.protocol import Pointer
from bigmama_nb.warehouse.lineage import Group, Key, Provenance, Record, Retraction, Writer
from bigmama_nb.warehouse.version import require_rows, rows_of


@dataclass(frozen=True)
class Incoming:
    """What a run brings for one partition of a keyed table.

    `rows` has the contract's file columns; `groups` says for each key in it how far it is counted and from where.
    `again`: keys that come back though an earlier run retracted them. `found_by`: the run that found these figures,
    where that is not the one that publishes them: it replaces nothing that a later run wrote, unless `over`. `order`:
    ids of runs as they began; of others their ids' instants say it.
    """

    rows: pa.Table
    groups: Mapping[Key, Group]
    again: frozenset[Key] = frozenset()
    found_by: str | None = None
    over: bool = False
    order: tuple[str, ...] = ()

    def began_later(self, run: str, than: str) -> bool:
        """Return whether `run` began after `than`; of two that began in one second and are not known it did."""
        if run in self.order and than in self.order:
            return self.order.index(run) > self.order.index(than)
        return run[:16] >= than[:16]


@dataclass(frozen=True)
class Merged:
    """A partition's next rows (None: nothing changes), who wrote them, and how many were carried over.

    `retractions`: the keys that are out. Of the keys brought `kept` have a row through a later day, `stays_out` were
    retracted, `outdone` were written by a later run.
    """

    rows: pa.Table | None
    groups: Mapping[Key, Provenance]
    kept: frozenset[Key] = frozenset()
    carried: int = 0
    retractions: Mapping[Key, Retraction] = field(default_factory=dict)
    stays_out: frozenset[Key] = frozenset()
    outdone: Mapping[Key, str] = field(default_factory=dict)


def merge(
    warehouse: Warehouse,
    table: Table,
    partition: str,
    brought: Incoming,
    writer: Writer,
    pointer: Pointer | None,
    record: Record | None,
) -> Merged:
    """Return the rows brought, and those that stay: of keys not brought, or counted through a later day already.

    Raises:
        StorageError: what stands there cannot be read, or is not what was published.
        ContractError: a partition that others made has other columns or a key twice.
    """
    brings_from = {key: Provenance.of(group, writer) for key, group in brought.groups.items()}
    if pointer is None:
        return Merged(brought.rows, brings_from)
    stood = dict(record.groups) if record is not None else {}
    out = dict(record.retracted) if record is not None else {}
    outdone = _outdone(warehouse, table, brought, writer, pointer, record)
    stays_out = {
        key
        for key in brings_from.keys() & out.keys()
        if key not in brought.again or not brought.began_later(writer.run, out[key].run)
    }
    kept = frozenset(
        key
        for key, one in brings_from.items()
        if key in stood and key not in outdone and stood[key].through > one.through and not brought.over
    )
    brings = brings_from.keys() - kept - stays_out - outdone.keys()
    told = Merged(None, stood, kept, retractions=out, stays_out=frozenset(stays_out), outdone=outdone)
    if record is not None and not brings:
        return told
    # With every row brought anew, what stands need not be read: so a damaged partition becomes whole.
    reads = record is None or bool(stood.keys() - brings)
    stays = rows_of(warehouse, table, pointer, record) if reads else table.arrow_schema().empty_table()
    stays = _without(stays, table, brings)
    rows = pa.concat_tables(
        [stays, _without(brought.rows, table, brings_from.keys() - brings).cast(table.arrow_schema())]
    )
    require_rows(rows, table, place=partition)
    return replace(
        told,
        rows=rows,
        groups=stood | {key: brings_from[key] for key in brings},
        carried=stays.num_rows,
        retractions={key: one for key, one in out.items() if key not in brings},
    )


def _outdone(
    warehouse: Warehouse, table: Table, brought: Incoming, writer: Writer, pointer: Pointer, record: Record | None
) -> dict[Key, str]:
    """Return the keys for which another figure stands, written by a run that began after the one that found these."""
    found_by = brought.found_by
    if found_by is None or brought.over or record is None:
        return {}
    later = {
        key: record.groups[key].run
        for key in brought.groups.keys() & record.groups.keys()
        if record.groups[key].run not in (found_by, writer.run)
        and brought.began_later(record.groups[key].run, found_by)
    }
    if not later:
        return {}
    stands, brings = (_by_key(rows, table) for rows in (rows_of(warehouse, table, pointer, record), brought.rows))
    return {key: run for key, run in later.items() if stands.get(key) != brings[key]}


def _by_key(rows: pa.Table, table: Table) -> dict[Key, dict[str, object]]:
    return dict(zip(_key_column(rows, table), rows.to_pylist(), strict=True))


def retain(
    warehouse: Warehouse,
    table: Table,
    partition: str,
    keys: Mapping[Key, Retraction],
    pointer: Pointer | None,
    record: Record | None,
) -> Merged:
    """Return the rows that stay when those of `keys` are taken out, which are out from then on.

    Raises:
        UsageError: the partition or a key is not there.
        StorageError, ContractError: as `merge`.
    """
    if pointer is None:
        raise UsageError(f"{table.full_name} has no partition {partition}", state="Nothing was retracted")
    rows = rows_of(warehouse, table, pointer, record)
    there = keys_of(rows, table)
    for key in keys:
        if key not in there:
            held = ", ".join("/".join(one) for one in sorted(there)[:20]) or "none"
            raise UsageError(
                f"{table.full_name} {partition} has no row {'/'.join(key)}; it holds {held}",
                state="Nothing was retracted",
            )
    stays = _without(rows, table, keys)
    groups = {key: provenance for key, provenance in (record.groups if record else {}).items() if key not in keys}
    out = {**(record.retracted if record else {}), **keys}
    return Merged(stays, groups, carried=stays.num_rows, retractions=out)


def require_incoming(table: Table, partition: str, brought: Incoming) -> None:
    """Raise ContractError where the partition's name, the rows or their key groups are not what they should be."""
    name, _, value = partition.partition("=")
    if name != table.partition or table.partition_name(value) != partition:
        raise ContractError(
            with_state(
                f"{table.full_name}: {partition!r} is no partition of it; expected '{table.partition}=…'",
                NOTHING_PUBLISHED,
            ),
            place=table.full_name,
        )
    require_rows(brought.rows, table, place=partition)
    odd = sorted("/".join(key) for key in keys_of(brought.rows, table) ^ set(brought.groups))
    if odd or not brought.groups:
        raise ContractError(
            with_state(
                f"{table.full_name} {partition}: rows and key groups differ: {', '.join(odd[:10]) or 'there are none'}",
                NOTHING_PUBLISHED,
            ),
            place=partition,
        )


def keys_of(rows: pa.Table, table: Table) -> set[Key]:
    """Return the key of each row."""
    return set(_key_column(rows, table))


def _without(rows: pa.Table, table: Table, keys: Collection[Key]) -> pa.Table:
    if not keys:
        return rows
    return rows.filter(pa.array([key not in keys for key in _key_column(rows, table)], pa.bool_()))


def _key_column(rows: pa.Table, table: Table) -> list[Key]:
    return list(zip(*(rows[name].to_pylist() for name in table.key), strict=True))
