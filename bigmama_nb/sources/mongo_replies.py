"""A server's replies to a query as bytes: the driver's cursor of raw batches, which looks at no document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import CodecOptions, _convert_raw_document_lists_to_streams
from bson.raw_bson import _RAW_ARRAY_BSON_OPTIONS, _RawArrayBSONDocument
from pymongo.cursor import RawBatchCursor
from pymongo.message import _OpMsg

OPTIONS: CodecOptions[Any] = _RAW_ARRAY_BSON_OPTIONS


class Replies(RawBatchCursor[Any]):
    """The driver's own makes an object of each document in a reply, only to throw all of them away."""

    def _unpack_response(
        self,
        response: _OpMsg,
        cursor_id: int | None,
        codec_options: CodecOptions[Mapping[str, Any]],
        user_fields: Mapping[str, Any] | None = None,
        legacy_response: bool = False,
    ) -> list[Any]:
        (reply,) = response.raw_response(cursor_id, user_fields={})
        found = dict(reply)
        if "cursor" in found:
            found["cursor"] = dict(_RawArrayBSONDocument(found["cursor"].raw, OPTIONS))
        _convert_raw_document_lists_to_streams(found)
        return [found]
