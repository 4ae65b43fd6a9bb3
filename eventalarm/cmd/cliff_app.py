"""The base of the commands with verbs: cliff's application with our help texts and configuration options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cliff import app, commandmanager
from oslo_config import cfg

from eventalarm import service
from eventalarm.cmd.command import Command, add_config_arguments, config_arguments


class CliffApp(app.App):
    """One command line.

    :param verbs: the commands; each is called by the name of its class in lower case.
    """

    def __init__(self, script: Command, verbs: Sequence[type]) -> None:
        self.NAME = script.prog
        self._script = script
        manager = commandmanager.CommandManager()
        for kind in verbs:
            manager.add_command(kind.__name__.lower(), kind)
        super().__init__(script.description, service.package_version(), manager, deferred_help=True)

    def build_option_parser(self, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        """Add the options that name the configuration, as the other commands have them."""
        parser: argparse.ArgumentParser = super().build_option_parser(*args, **kwargs)
        parser.prog = self._script.prog
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = self._script.epilog
        add_config_arguments(parser)
        return parser

    def configure(self) -> cfg.ConfigOpts:
        """Return the configuration that the command line names; sets up logging."""
        debug = ["--debug"] if self.options.debug else []
        return self._script.configure([*config_arguments(self.options), *debug])

    def main(self, argv: Sequence[str] | None) -> int:
        """Run a command line, by default that of the process; prints the help if it is empty."""
        arguments = list(sys.argv[1:] if argv is None else argv)
        return int(self.run(arguments or ["--help"]))
