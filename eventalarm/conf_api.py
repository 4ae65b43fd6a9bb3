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
