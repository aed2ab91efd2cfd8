"""Which game has which metric, and with which keys: the metric's own, its exceptions for groups and games applied.

Source of every rule here: docs/spec/profile.md, "Groups and exceptions".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pydantic import Field, ValidationError

from bigmama_nb.errors import did_you_mean
from bigmama_nb.profile.messages import Section, refusals
from bigmama_nb.profile.metric import WORDS, Metric
from bigmama_nb.profile.types import SourceDatabase

NAMESPACE_BYTES: Final = 255
"""Of `database.collection`: https://www.mongodb.com/docs/manual/reference/limits/"""
_OF_ALL: Final = (*WORDS, "games", "except", "override")
"""Keys of a metric that are the same for every game."""

Groups = Mapping[str, Collection[str]]
Pairs = dict[tuple[str, str], Metric]


class Game(Section):
    """A game: where its documents are, and which metrics it has."""

    name: str | None = None
    owner: str | None = None
    cluster: str
    database: SourceDatabase
    metrics: list[str] | None = None
    override: dict[str, dict[str, Any]] = Field(default_factory=dict)


def dangling(document: Mapping[str, Any]) -> list[str]:
    """Name what refers to a cluster, a metric, a game or a group that the profile's document does not have."""

    def section(name: str) -> dict[str, Any]:
        found = document.get(name)
        return found if isinstance(found, dict) else {}

    problems = []
    clusters, metrics = [*map(str, section("clusters"))], [*map(str, section("metrics"))]
    games, groups = [*map(str, section("games"))], [*map(str, section("groups"))]
    for game_cd, game in section("games").items():
        if not isinstance(game, dict):
            continue
        cluster = game.get("cluster")
        if isinstance(cluster, str) and cluster not in clusters:
            problems.append(
                f"games.{game_cd}.cluster is {cluster!r}; clusters are {', '.join(clusters) or 'none'}."
                f"{did_you_mean(cluster, clusters)}"
            )
        for key in ("metrics", "override"):
            problems += _unknown(f"games.{game_cd}.{key}", game.get(key), metrics=metrics)
    for group, members in section("groups").items():
        problems += _unknown(f"groups.{group}", members, games=games)
    for type_, metric in section("metrics").items():
        for key in ("games", "except", "override") if isinstance(metric, dict) else ():
            problems += _unknown(f"metrics.{type_}.{key}", metric.get(key), games=games, groups=groups)
    return problems


def _unknown(where: str, names: object, **known: list[str]) -> Iterator[str]:
    all_known = [name for some in known.values() for name in some]
    there = "; ".join(f"{kind} are {', '.join(some) or 'none'}" for kind, some in known.items())
    for name in names if isinstance(names, list | dict) else ():
        if isinstance(name, str) and name not in all_known:
            yield f"{where} names {name!r}; {there}.{did_you_mean(name, all_known)}"


def configured(games: Mapping[str, Game], groups: Groups, metrics: Mapping[str, Metric]) -> tuple[Pairs, list[str]]:
    """Return every (game_cd, type) with its metric, in the order of the games, and what is wrong."""
    problems = [
        f"groups.{name} has the name of a game; expected a name of its own, since games and groups are named alike"
        for name in groups
        if name in games
    ]
    having: dict[str, Collection[str]] = {}
    for type_, metric in metrics.items():
        names = {*(metric.games or ()), *(metric.except_ or ()), *metric.override}
        if names <= {*games, *groups}:
            having[type_] = _games_of(type_, metric, games, groups, problems)
            problems += _idle_overrides(type_, metric, having[type_], groups)
        else:
            # What is unknown is told by `dangling`; what follows from it would be told twice.
            having[type_] = set(games)
    pairs: Pairs = {}
    for game_cd, game in games.items():
        for type_, metric in metrics.items():
            if game_cd not in having[type_]:
                continue
            own = _with_overrides(game_cd, game, type_, metric, groups, problems)
            if own is None:
                continue
            pairs[game_cd, type_] = own
            size = len(f"{game.database}.{own.collection}".encode())
            if size > NAMESPACE_BYTES:
                problems.append(
                    f"games.{game_cd}: its database and the collection of {type_} make a name of {size} bytes; MongoDB "
                    f"has none beyond {NAMESPACE_BYTES}"
                )
    return pairs, list(dict.fromkeys(problems))


def _members(name: str, groups: Groups) -> Collection[str]:
    return groups.get(name, (name,))


def _games_of(
    type_: str, metric: Metric, games: Mapping[str, Game], groups: Groups, problems: list[str]
) -> Collection[str]:
    """Return the games that have a metric: those that it names, without its exceptions, if their `metrics` let it."""
    named = set(games)
    if metric.games is not None:
        named = {game_cd for name in metric.games for game_cd in _members(name, groups)}
    left = set(named)
    for name in metric.except_ or ():
        if not named.intersection(_members(name, groups)):
            problems.append(
                f"metrics.{type_}.except names {name!r}, which metrics.{type_}.games leaves out already; "
                "expected a game that would have the metric"
            )
        left.difference_update(_members(name, groups))
    having = set()
    for game_cd, game in games.items():
        if game_cd in left and (game.metrics is None or type_ in game.metrics):
            having.add(game_cd)
        elif game_cd not in left and type_ in (game.metrics or ()):
            key = "except" if game_cd in named else "games"
            problems.append(
                f"games.{game_cd}.metrics names {type_!r}, and metrics.{type_}.{key} leaves {game_cd} out; expected "
                "one of them"
            )
    if not having and (metric.games is not None or metric.except_ is not None):
        problems.append(f"metrics.{type_} has no game: its games, without its except, are none that may have it")
    return having


def _idle_overrides(type_: str, metric: Metric, having: Collection[str], groups: Groups) -> Iterator[str]:
    for name, override in metric.override.items():
        if not set(having).intersection(_members(name, groups)):
            yield (
                f"metrics.{type_}.override names {name!r}, which does not have the metric; expected a game that has it"
            )
        yield from _of_all(f"metrics.{type_}.override.{name}", type_, override)


def _of_all(where: str, type_: str, override: Mapping[str, Any]) -> list[str]:
    return [
        f"{where} has {key}, which is the same for every game; it stands in metrics.{type_}"
        for key in _OF_ALL
        if key in override
    ][:1]


def _with_overrides(
    game_cd: str, game: Game, type_: str, metric: Metric, groups: Groups, problems: list[str]
) -> Metric | None:
    """Return a game's metric: those of its groups replace the metric's keys, and its own replace both."""
    own, at = metric.override.get(game_cd), f"metrics.{type_}.override.{game_cd}"
    if type_ in game.override:
        there, at = own, f"games.{game_cd}.override.{type_}"
        own = game.override[type_]
        if there is not None:
            problems.append(f"{at} stands in metrics.{type_}.override.{game_cd} as well; expected one of them")
            return None
        if wrong := _of_all(at, type_, own):
            problems += wrong
            return None
    of_groups: dict[str, tuple[str, Any]] = {}
    for name, override in metric.override.items():
        if name not in groups or game_cd not in groups[name]:
            continue
        for key, value in override.items():
            if key in of_groups and key not in (own or {}) and of_groups[key][1] != value:
                problems.append(
                    f"metrics.{type_}.override has {key} for {game_cd} in {of_groups[key][0]} and in {name}; expected "
                    f"one, or a {key} in metrics.{type_}.override.{game_cd}, which decides"
                )
                return None
            of_groups[key] = name, value
            at = at if own is not None else f"metrics.{type_}.override.{name}"
    replaced = {key: value for key, (_, value) in of_groups.items()} | (own or {})
    if not replaced:
        return metric
    plain = metric.model_dump(by_alias=True, exclude_unset=True) | replaced
    try:
        return Metric.model_validate(plain, by_name=False)
    except ValidationError as error:
        problems += refusals(error, Metric, plain, at=at)
        return None
