"""Every table's contract, in the databases that a profile names."""

from __future__ import annotations

from bigmama_nb.profile import Profile
from bigmama_nb.tables import (
    game_metric,
    game_metric_status,
    stats_we_t_kpi,
    stats_wv_d_live_play,
    stats_wv_d_live_play_min,
    stats_wv_h_live_play,
    stats_wv_m_video_copyright,
    wv_live_play,
    wv_live_play_rejects,
)
from bigmama_nb.tables.contract import Table

_LIVE = (
    wv_live_play,
    wv_live_play_rejects,
    stats_wv_d_live_play,
    stats_wv_h_live_play,
    stats_wv_d_live_play_min,
    stats_we_t_kpi,
    stats_wv_m_video_copyright,
)


def live_contracts(database: str) -> dict[str, Table]:
    """Return the contracts of the live-viewing tables by name, in the profile's `live_play.database`."""
    return {module.CONTRACT.name: module.CONTRACT.in_database(database) for module in _LIVE}


def contracts(profile: Profile) -> list[Table]:
    """Return the contracts of all tables, in the databases that the profile names."""
    database = profile.live_play.database if profile.live_play is not None else wv_live_play.CONTRACT.database
    figures = [one.CONTRACT.in_database(profile.warehouse.database) for one in (game_metric, game_metric_status)]
    return [*figures, *live_contracts(database).values()]
