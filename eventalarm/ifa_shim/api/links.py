"""Absolute links: the root of this API as its consumers see it."""

from __future__ import annotations

import falcon


class Links:
    """*public_url* is what the deployer says; without it each request tells, proxies' headers included."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def prefix(self, req: falcon.Request) -> str:
        """Return the URL before any path of ours, with the path that a server mounted us at."""
        return self._public_url or f"{req.scheme}://{req.netloc}{req.root_path}"

    def fault_management(self, req: falcon.Request) -> str:
        """Return the root of SOL003's fault management API."""
        return f"{self.prefix(req)}/vnffm/v1"
