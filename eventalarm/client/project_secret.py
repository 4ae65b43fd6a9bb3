"""``openstack eventalarm secret create|rotate|show``: the secret that signs the webhooks of the project."""

from __future__ import annotations

import argparse
from typing import Any, Final

from osc_lib.command import command

from eventalarm.client.maintenance import ENDPOINT
from eventalarm.client.service import Document, ServiceClient

PATH: Final = "/v1/secret"


class SecretClient(ServiceClient):
    """Requests to the ingest API; every method raises CommandError with the service's error message."""

    ENDPOINT = ENDPOINT

    def show(self) -> Document:
        """Return what is known of the secret."""
        found: Document = self._get(PATH).json()
        return found

    def create(self) -> Document:
        """Create the secret and return it."""
        found: Document = self._request("POST", PATH).json()
        return found

    def rotate(self, overlap: int | None) -> Document:
        """Replace the secret, which stays valid for *overlap* seconds, and return the new one."""
        body = {} if overlap is None else {"overlap": overlap}
        found: Document = self._request("POST", f"{PATH}/rotate", json=body).json()
        return found


class ShowSecret(command.ShowOne):
    """Show when the secret of the project was created; its value cannot be shown again."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Fetch it."""
        return _shown(SecretClient.of(self.app).show())


class CreateSecret(command.ShowOne):
    """Create the secret that signs the webhooks of the project, and show it this once."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Create it."""
        return _shown(SecretClient.of(self.app).create())


class RotateSecret(command.ShowOne):
    """Replace the secret of the project, and show the new one this once."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--overlap",
            type=int,
            metavar="<seconds>",
            help="how long webhooks are also signed with the present secret (by default as the service is "
            "configured, a day); 0 if it is compromised",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Any, Any]:
        """Replace it."""
        return _shown(SecretClient.of(self.app).rotate(parsed_args.overlap))


def _shown(secret: Document) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    return tuple(secret), tuple(secret.values())
