"""HTTP connections that are closed when a response exceeds its size limit, whatever the bytes are."""

from __future__ import annotations

import functools
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

# Bytes besides the body: status line, headers and trailers, chunk framing, interim responses.
OVERHEAD: Final = 64 * 1024


class _Bounded(ResponseHandler):
    """Counts the bytes of one response.

    The reader limits the body. But interim responses (1xx), chunk extensions and bytes after the response
    are no part of the body: read until the timeout, they would keep the event loop as busy as the peer likes.
    """

    def __init__(self, loop: Any, limit: int) -> None:
        super().__init__(loop=loop)
        self._limit = limit
        self._left = limit

    def set_response_params(self, **params: Any) -> None:
        """Prepare for the next response."""
        self._left = self._limit
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Parse bytes; beyond the limit the connection is then aborted."""
        super().data_received(data)
        self._left -= len(data)
        if self._left < 0 and self.transport is not None:
            self.transport.abort()


class BoundedConnector(aiohttp.TCPConnector):
    """A connector whose connections read at most *largest* + :data:`OVERHEAD` bytes of a response."""

    def __init__(self, largest: int, **options: Any) -> None:
        super().__init__(**options)
        self._factory: Any = functools.partial(_Bounded, self._loop, largest + OVERHEAD)
