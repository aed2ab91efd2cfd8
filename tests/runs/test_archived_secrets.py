"""What a run keeps beside its notebooks, the tables that travel between its stages, holds no secret either."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from tests.runs.world import World

PASSWORD = "Tr0ub4dor&3-correct-horse"


def test_a_password_in_a_documents_id_stands_in_no_archived_table(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error names the document by its `_id`: where a password stands in it, it is masked in Parquet files too."""
    monkeypatch.setenv("WEST_URI", f"mongodb://etl:{PASSWORD}@127.0.0.1:9/")
    world.write_profile(
        ("  west: {dump: dumps/west}", "  west: {dump: dumps/west}\n  live: {uri_env: WEST_URI}"),
    )
    documents = world.daily("cc")
    for document in documents:
        document["_id"] = f"job of etl:{PASSWORD} at {document['dt']}"
        document["value"] = "many"
    world.write("cc", "daily", documents)
    answer = world.command("run", "--date", "2024-05-01")
    assert answer["exit_status"] == 3
    kept = list((world.folder / "archive" / "runs").glob("*/1/data/*.parquet"))
    texts = [
        str(value)
        for path in kept
        for column in pq.read_table(path).to_pydict().values()
        for value in column
        if value is not None
    ]
    assert any("job of etl" in text for text in texts)
    assert not [text for text in texts if PASSWORD[:12] in text]
