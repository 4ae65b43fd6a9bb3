"""The options that our HTTP APIs have in common: where they listen, and how callers are told apart."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg


def server_opts(program: str, port: int) -> list[Any]:
    """Return the options of the web server of *program*, which listens on *port* unless told otherwise."""
    return [
        cfg.StrOpt("host", default="127.0.0.1", help=f"Address on which {program} listens."),
        cfg.PortOpt("port", default=port, help=f"Port on which {program} listens."),
        cfg.IntOpt("threads", default=8, min=1, help=f"Requests that one {program} answers at once."),
        cfg.IntOpt(
            "connection_limit",
            default=200,
            min=10,
            help=f"Connections that one {program} holds at once. One more ends the one that has waited "
            "longest for its client to send a request, so that silent clients keep nobody out.",
        ),
        cfg.FloatOpt(
            "request_timeout",
            default=30.0,
            min=1.0,
            help="Seconds that a client may take to send a request, or to read its answer, and for which a "
            "connection may be idle.",
        ),
        cfg.IntOpt(
            "body_buffer",
            default=64 * 1024 * 1024,
            min=1024 * 1024,
            help="Bytes of request bodies that are held at once, before and while they are answered. Above "
            "it the connections that take longest to send theirs are ended.",
        ),
        cfg.StrOpt(
            "auth_mode",
            default="keystone",
            choices=[
                ("keystone", "tokens are checked by keystonemiddleware, as [keystone_authtoken] says"),
                (
                    "noauth",
                    "whoever asks says who he is (X-Project-Id, X-User-Id, X-Roles); to try things out",
                ),
            ],
            help="How callers are told apart.",
        ),
    ]
