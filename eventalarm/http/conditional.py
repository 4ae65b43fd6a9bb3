"""Conditional requests (RFC 9110 clause 13): If-Match and If-None-Match against an entity tag."""

from __future__ import annotations

from typing import Final

import falcon
import re2

SAFE: Final = frozenset({"GET", "HEAD"})
TAG: Final = re2.compile(r'(W/)?("[^"]*")')


def check(req: falcon.Request, resp: falcon.Response, tag: str) -> bool:
    """Return True if the request is to be carried out; *tag* is strong and quoted, and is answered.

    False: the client has what it would be answered, and 304 is set.

    :raises falcon.HTTPPreconditionFailed: when the resource is not as the request demands.
    """
    resp.set_header("ETag", tag)
    required, known = req.get_header("If-Match"), req.get_header("If-None-Match")
    if required is not None and not _names(required, tag, weak=False):
        raise falcon.HTTPPreconditionFailed(description="the alarm changed since it was read")
    if known is not None and _names(known, tag, weak=True):
        if req.method not in SAFE:
            raise falcon.HTTPPreconditionFailed(description="If-None-Match names the alarm as it is")
        resp.status = falcon.HTTP_304
        return False
    return True


def _names(condition: str, tag: str, *, weak: bool) -> bool:
    """Return True if *condition* is ``*`` or lists *tag*; what is not quoted names nothing."""
    if condition.strip() == "*":
        return True
    return any(one[2] == tag and (weak or not one[1]) for one in TAG.finditer(condition))
