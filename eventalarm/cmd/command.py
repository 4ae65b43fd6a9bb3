"""What every console script shares: its help texts, its configuration, errors and progress on stderr.

Heavy modules are imported when they are needed, so that ``--help`` stays fast.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from eventalarm.progress import Progress

if TYPE_CHECKING:
    from oslo_config import cfg

    from eventalarm.storage.database import Database


@dataclasses.dataclass(frozen=True)
class Command:
    """One console script: its name, and the texts that ``--help`` prints before and after the options."""

    prog: str
    description: str = ""
    epilog: str = ""

    def configure(
        self, argv: Sequence[str] | None = None, *, options: Iterable[Any] = (), version: str = ""
    ) -> cfg.ConfigOpts:
        """Return the configuration that *argv* (by default the command line) names; sets up logging.

        :param options: further command-line options.
        :param version: text that ``--version`` adds to the version of the package.
        :raises SystemExit: code 0 after ``--help`` and ``--version``, code 2 after a configuration error.
        """
        from eventalarm import service  # noqa: PLC0415

        return service.prepare(
            sys.argv[1:] if argv is None else argv,
            prog=self.prog,
            description=self.description,
            epilog=self.epilog,
            extra_cli=options,
            version=version,
        )

    def parser(
        self, kind: type[argparse.ArgumentParser] = argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        """Return a parser with the help texts of the command; the caller adds the arguments."""
        return kind(
            prog=self.prog,
            description=self.description,
            epilog=self.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_version(self, parser: argparse.ArgumentParser) -> None:
        """Add ``--version`` to *parser*."""
        version = f"{self.prog} {importlib.metadata.version('eventalarm')}"
        parser.add_argument("--version", action="version", version=version)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """End the command with code 2 and one line on stderr on an expected error."""
        from eventalarm import service  # noqa: PLC0415

        with service.errors_on_stderr(self.prog):
            yield

    @contextlib.contextmanager
    def database(self, conf: cfg.ConfigOpts) -> Iterator[Database]:
        """Open the configured database, require the current schema, and close it afterwards."""
        from eventalarm import service  # noqa: PLC0415
        from eventalarm.storage import schema  # noqa: PLC0415

        database = service.database(conf)
        try:
            schema.require_current(database)
            yield database
        finally:
            database.dispose()

    def progress(self) -> Progress:
        """Return a reporter whose lines begin with the name of the command."""
        return Progress(prefix=f"{self.prog}: ", timed=False)

    def say(self, text: str) -> None:
        """Write *text* to stderr as one line that begins with the name of the command."""
        sys.stderr.write(f"{self.prog}: {text}\n")


def config_arguments(args: argparse.Namespace) -> list[str]:
    """Return the arguments of oslo.config for the parsed ``--config-file`` and ``--config-dir``."""
    return [
        *(f"--config-file={path}" for path in args.config_file),
        *(f"--config-dir={path}" for path in args.config_dir),
    ]


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--config-file`` and ``--config-dir`` to *parser*, as the other commands have them."""
    for kind, text in (
        ("file", "read this file instead of aodh.conf"),
        ("dir", "read the *.conf files in it"),
    ):
        parser.add_argument(f"--config-{kind}", action="append", default=[], metavar="PATH", help=text)
