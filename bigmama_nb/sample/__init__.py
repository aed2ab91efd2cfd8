"""The sample that everything runs on as it is: made here, the same bytes every time, no server needed."""

from __future__ import annotations

from pathlib import Path

from bigmama_nb.profile import Profile
from bigmama_nb.sample.folder import made_once
from bigmama_nb.sample.games import generate

PROFILES = {"sample.yaml": False, "sample-trouble.yaml": True}
"""The profiles that the sample belongs to, by file name: whether it is the one with trouble in it."""


def prepare(profile: Profile) -> None:
    """Make what a sample profile reads, where its clusters and live sources say, if it is not there yet.

    Other profiles are left alone.

    Raises:
        UsageError: a folder holds something that the generators did not make.
    """
    if profile.path.name not in PROFILES:
        return
    dump = next((cluster.dump for cluster in profile.clusters.values()), None)
    if dump is not None:
        generate(Path(dump).parent, trouble=PROFILES[profile.path.name])
    if profile.live_play is not None and profile.live_play.sources.uri is not None:
        # Imported where it is used: the games' sample needs neither numpy nor DuckDB.
        from bigmama_nb.sample import live

        stamp = {"generator": "bigmama_nb.sample.live", "version": live.VERSION}
        made_once(Path(profile.live_play.sources.uri), stamp, live.generate)
