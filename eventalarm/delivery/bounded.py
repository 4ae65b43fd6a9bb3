"""Connections that end when an answer is larger than an answer may be, whatever its bytes are."""

from __future__ import annotations

import functools
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

# Besides the body: status line, headers and trailers, the framing of chunks, interim answers.
OVERHEAD: Final = 64 * 1024


class _Bounded(ResponseHandler):
    """Counts the bytes of one answer.

    Those of the body are counted by whoever reads it. But interim answers (1xx), extensions of chunks and
    bytes behind the answer come before or beside any body: read until the timeout, they keep the event loop
    as busy as the peer likes.
    """

    def __init__(self, loop: Any, limit: int) -> None:
        super().__init__(loop=loop)
        self._limit = limit
        self._left = limit

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the next answer."""
        self._left = self._limit
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take bytes; beyond the limit the connection ends, after what these say is known."""
        super().data_received(data)
        self._left -= len(data)
        if self._left < 0 and self.transport is not None:
            self.transport.abort()


class BoundedConnector(aiohttp.TCPConnector):
    """A connector whose connections read *largest* bytes of body, and :data:`OVERHEAD`, of an answer."""

    def __init__(self, largest: int, **options: Any) -> None:
        super().__init__(**options)
        self._factory: Any = functools.partial(_Bounded, self._loop, largest + OVERHEAD)
