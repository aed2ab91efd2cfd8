"""The sample that everything runs on as it is: made here, the same bytes every time, no server needed."""

from __future__ import annotations

from pathlib import Path

from bigmama_nb.profile import Profile
from bigmama_nb.sample.games import generate

PROFILES = {"sample.yaml": False, "sample-trouble.yaml": True}
"""The profiles that the sample belongs to, by file name: whether it is the one with trouble in it."""


def prepare(profile: Profile) -> Path | None:
    """Make the dumps that a sample profile reads, beside its clusters' folders, where they are not there yet.

    Returns:
        The folder that holds the clusters' folders; None where the profile is not one of the sample's.

    Raises:
        UsageError: the folder holds something that the generator did not make.
    """
    if profile.path.name not in PROFILES or not profile.clusters:
        return None
    dump = next(iter(profile.clusters.values())).dump
    return None if dump is None else generate(Path(dump).parent, trouble=PROFILES[profile.path.name])
