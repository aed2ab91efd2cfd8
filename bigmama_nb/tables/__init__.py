"""One module a table: its CONTRACT and the expression that makes it. Nothing here executes.

The names stand here, so that a grid can be planned without loading what computes the tables.
"""

WV_LIVE_PLAY = "wv_live_play"
DAILY = (
    WV_LIVE_PLAY,
    "wv_live_play_rejects",
    "stats_wv_d_live_play",
    "stats_wv_h_live_play",
    "stats_wv_d_live_play_min",
)
"""The live-viewing tables of one part_date, built and moved together."""
KPI = "stats_we_t_kpi"
MONTH = "stats_wv_m_video_copyright"
"""Those that are made from published partitions of them."""
