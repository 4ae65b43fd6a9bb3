"""What console scripts share: help texts, configuration, errors, progress on stderr, and the web server.

Heavy modules are imported when they are needed, so that ``--help`` stays fast.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import importlib.metadata
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from eventalarm.exceptions import InvalidOption
from eventalarm.guru_report import report_on_signal
from eventalarm.progress import Progress

if TYPE_CHECKING:
    from oslo_config import cfg

    from eventalarm.storage.database import Database

VARIABLE: Final = "EVENTALARM_CONFIG"


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


@dataclasses.dataclass(frozen=True)
class ApiCommand(Command):
    """The console script of an HTTP API, with the group of its options and the extra that it requires."""

    group: str = ""
    extra: str = ""
    modules: tuple[str, ...] = ()

    def run(
        self,
        argv: Sequence[str] | None,
        opened: Callable[[cfg.ConfigOpts], contextlib.AbstractContextManager[tuple[Any, int]]],
    ) -> int:
        """Serve until a signal stops the command; return 0.

        :param opened: opens the WSGI application, and closes it afterwards; its second value is the size in
            bytes beyond which the web server refuses a request without reading its body.
        :raises SystemExit: code 2 if the service cannot start.
        """
        conf = self.configure(argv)
        with self.errors(), self._modules_required(), opened(conf) as (app, max_body):
            self._serve(app, conf, max_body)
        return 0

    @contextlib.contextmanager
    def _modules_required(self) -> Iterator[None]:
        try:
            yield
        except ModuleNotFoundError as exc:
            if (exc.name or "").partition(".")[0] not in self.modules:
                raise
            install = f"pip install 'eventalarm[{self.extra}]'"
            raise InvalidOption(self.prog, f"needs {exc.name}", install) from exc

    def _serve(self, app: Any, conf: cfg.ConfigOpts, max_body: int) -> None:
        from eventalarm.http import server as http_server  # noqa: PLC0415 - part of an extra

        settings = conf[self.group]
        limits = http_server.Limits(
            threads=settings.threads,
            connections=settings.connection_limit,
            body=max_body,
            body_buffer=settings.body_buffer,
            request_timeout=settings.request_timeout,
        )
        try:
            listening = _listen(settings.host, settings.port)
        except OSError as exc:
            where = f"{settings.host}:{settings.port}"
            option = f"[{self.group}] host, port"
            raise InvalidOption(option, f"{where}: {exc.strerror}", "choose another") from exc
        report_on_signal(conf, self.prog)
        server = http_server.WebServer(app, listening, limits, ident=self.prog)
        # On KeyboardInterrupt the server finishes the requests in progress and leaves its loop.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # Permanent objects need not be examined again while a client waits for a response.
        gc.collect()
        gc.freeze()
        host, port = listening[0].getsockname()[:2]
        print(f"Serving on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        server.run()


def wsgi_application(prog: str, build: Callable[[cfg.ConfigOpts], Any]) -> Any:
    """Return the WSGI application that *build* makes from the configuration of the command *prog*.

    The environment variable ``EVENTALARM_CONFIG`` may name other configuration files, and directories of
    ``*.conf`` files, separated by colons.

    :raises SystemExit: code 2 after a configuration error.
    """
    names = [name for name in os.environ.get(VARIABLE, "").split(":") if name]
    options = (f"--config-{'dir' if os.path.isdir(name) else 'file'}={name}" for name in names)
    return build(Command(prog).configure(list(options)))


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of *host*, or for the first one if *port* is 0.

    :raises OSError: when an address cannot be bound.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, address) for family, *_, address in found))
    with contextlib.ExitStack() as undo:
        made = [
            undo.enter_context(socket.create_server(address, family=family))
            for family, address in (addresses if port else addresses[:1])
        ]
        undo.pop_all()
    return made


def config_arguments(args: argparse.Namespace) -> list[str]:
    """Return the arguments of oslo.config for the parsed ``--config-file`` and ``--config-dir``."""
    return [
        *(f"--config-file={path}" for path in args.config_file),
        *(f"--config-dir={path}" for path in args.config_dir),
    ]


def add_config_arguments(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add ``--config-file`` and ``--config-dir`` to *parser*, as the other commands have them.

    :param again: it is the parser of a subcommand, and the one above has them too.
    """
    default: Any = argparse.SUPPRESS if again else []
    for kind, text in (
        ("file", "read this file instead of aodh.conf"),
        ("dir", "read the *.conf files in this directory"),
    ):
        parser.add_argument(f"--config-{kind}", action="append", default=default, metavar="PATH", help=text)
