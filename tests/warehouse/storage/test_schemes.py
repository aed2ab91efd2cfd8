"""Which storage a URI names."""

from __future__ import annotations

import pytest

from bigmama_nb.errors import UsageError
from bigmama_nb.warehouse.storage import open_storage


def test_an_unknown_scheme_is_refused_with_the_nearest_one() -> None:
    """A URI of another scheme is a usage error that names the schemes there are."""
    with pytest.raises(UsageError, match=r"'s3a'; schemes are file, hdfs, s3\. Did you mean 's3'"):
        open_storage("s3a://bucket/x", {})
