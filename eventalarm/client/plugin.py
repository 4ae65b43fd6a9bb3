"""The plugin of python-openstackclient: its API name, versions, options and client."""

from __future__ import annotations

import argparse
from typing import Any

from eventalarm.client import ifa_api, maintenance

API_NAME = "eventalarm"
API_VERSION_OPTION = "os_eventalarm_api_version"
API_VERSIONS = ("1",)
DEFAULT_API_VERSION = "1"


def make_client(instance: Any) -> Any:
    """Return an aodhclient client: notification alarms are managed through Aodh's API."""
    from aodhclient.v2 import client  # noqa: PLC0415 - only commands that talk to the cloud need it

    instance.setup_auth()
    return client.Client(
        session=instance.session, interface=instance.interface, region_name=instance.region_name
    )


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options for the version and for the URLs of our APIs."""
    parser.add_argument(
        "--os-eventalarm-api-version",
        metavar="<version>",
        default=DEFAULT_API_VERSION,
        help=f"version of the eventalarm commands, default {DEFAULT_API_VERSION}",
    )
    ifa_api.ENDPOINT.add_to(parser)
    maintenance.ENDPOINT.add_to(parser)
    return parser
