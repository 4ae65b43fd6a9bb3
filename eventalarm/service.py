"""The start of every command: reads the configuration as Aodh does, sets up logging, opens the database.

Nothing here contacts Keystone (guarantee G8): its options are registered for the notifiers that use them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_db import options as db_options
from oslo_log import log

from eventalarm import bus
from eventalarm import conf as options
from eventalarm.database_url import database_url, unusable_url, with_mysqlclient
from eventalarm.exceptions import EventAlarmError, InvalidOption
from eventalarm.storage import database as storage
from eventalarm.storage.session import SessionLimits

LOG = log.getLogger(__name__)

FAILED = 2
PROJECTS = ("aodh", "eventalarm")
# Log levels of libraries; DEBUG of eventalarm does not turn on theirs.
QUIET = (
    "aiohttp=WARN",
    "alembic=WARN",
    "amqp=WARN",
    "cotyledon=INFO",
    "futurist=INFO",
    "keystoneclient=INFO",
    "kombu=WARN",
    "oslo.messaging=WARN",
    "oslo_db.sqlalchemy=WARN",
    # It warns of every request that waits for a thread.
    "waitress.queue=ERROR",
)
# In the text of an error of oslo.config: the file or the environment variable that sets the option.
SOURCE = re.compile(r"detail='(.*)'")
# Aodh's own, declared here because the module that declares it takes half a second to import.
RECORD_HISTORY = cfg.BoolOpt("record_history", default=True, help="Record alarm change events.")
# The group of Aodh's options for Keystone.
CREDENTIALS = "service_credentials"

# The options of oslo.db's [database] that are passed to the engine.
ENGINE_OPTIONS = (
    "connection_debug",
    "connection_parameters",
    "connection_recycle_time",
    "connection_trace",
    "max_overflow",
    "max_pool_size",
    "mysql_sql_mode",
    "mysql_wsrep_sync_wait",
    "pool_timeout",
    "sqlite_synchronous",
)


class _Options(cfg.ConfigOpts):
    """A ConfigOpts that has Aodh's options too, registered when the first of them is read.

    Its ``--help`` keeps the line breaks of description and epilog.
    """

    def __init__(self) -> None:
        super().__init__()
        self._registering = threading.RLock()
        self._has_aodh = False

    def _get(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._get(*args, **kwargs)
        except (cfg.NoSuchOptError, cfg.NoSuchGroupError):
            with self._registering:
                if not self._has_aodh:
                    _register_aodh(self)
                    self._has_aodh = True
            return super()._get(*args, **kwargs)

    def _pre_setup(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._pre_setup(*args, **kwargs)
        if self._oparser is not None:
            self._oparser.formatter_class = argparse.RawDescriptionHelpFormatter
        return result


def package_version() -> str:
    """Return the version of the installed package."""
    return importlib.metadata.version("eventalarm")


def prepare(
    argv: Sequence[str],
    *,
    prog: str,
    description: str,
    epilog: str,
    extra_cli: Iterable[Any] = (),
    version: str = "",
) -> cfg.ConfigOpts:
    """Read the configuration of the command *prog* as Aodh's commands do, and set up logging.

    ``/etc/aodh/aodh.conf``, then ``/etc/eventalarm/eventalarm.conf`` and their ``*.conf.d`` directories are
    read unless *argv* names other files.

    :param extra_cli: further command-line options.
    :param version: text that ``--version`` adds to the version of the package.
    :raises SystemExit: code 0 after ``--help`` and ``--version``; code 2 after a configuration error, which
        is reported in one line on stderr that names the option.
    """
    with errors_on_stderr(prog):
        conf = _Options()
        _register(conf, extra_cli)
        _parse(
            conf,
            argv,
            prog=prog,
            description=description,
            epilog=epilog,
            version=f"{prog} {package_version()}{version}",
        )
        # Before the values are read: oslo.config then warns of deprecated names, once.
        _set_up_logging(conf)
        _check_values(conf)
        _register_actions(conf)
        _register_credentials(conf)
    return conf


def database(
    conf: cfg.ConfigOpts, limits: SessionLimits | None = None, *, pipelines: bool = False
) -> storage.Database:
    """Open the database that Aodh's ``[database]`` options name.

    :param limits: the timeouts of its sessions; by default ``[eventalarm] lock_timeout`` and
        ``idle_transaction_timeout``.
    :param pipelines: let its pipelines send statements together, unless ``[eventalarm] pipelines`` is off.
    :raises InvalidOption: when ``[database] connection`` is missing or cannot work.
    :raises eventalarm.exceptions.Retryable: when the database does not answer.
    """
    url = database_url(conf)
    if conf[options.GROUP].mysqlclient:
        url = with_mysqlclient(url)
    pipelines = pipelines and conf[options.GROUP].pipelines
    engine_options = {name: conf.database[name] for name in ENGINE_OPTIONS if name in conf.database}
    try:
        return storage.connect(url, limits=limits or _limits(conf), pipelines=pipelines, **engine_options)
    except (sa.exc.ArgumentError, ImportError) as exc:
        raise unusable_url(exc) from exc


def _limits(conf: cfg.ConfigOpts) -> SessionLimits:
    group = conf[options.GROUP]
    return SessionLimits(group.lock_timeout, group.idle_transaction_timeout)


@contextlib.contextmanager
def errors_on_stderr(prog: str) -> Iterator[None]:
    """End the command *prog* with code 2 and one line on stderr after an expected error.

    Expected are the errors of eventalarm, of oslo.config and of the database; any other is a defect and
    keeps its traceback.
    """
    try:
        yield
    except (EventAlarmError, cfg.Error) as exc:
        problem = " ".join(str(exc).split())
    except (db_exception.DBError, sa.exc.SQLAlchemyError) as exc:
        problem = f"database error: {str(exc).splitlines()[0]}"
    else:
        return
    sys.stderr.write(f"{prog}: error: {problem}\n")
    raise SystemExit(FAILED)


def _parse(
    conf: cfg.ConfigOpts, argv: Sequence[str], *, prog: str, description: str, epilog: str, version: str
) -> None:
    files = [path for project in PROJECTS for path in cfg.find_config_files(project, prog)]
    folders = [path for project in PROJECTS for path in cfg.find_config_dirs(project, prog)]
    conf(
        list(argv),
        project="eventalarm",
        prog=prog,
        version=version,
        usage=f"{prog} [options]",
        description=description,
        epilog=epilog,
        default_config_files=list(dict.fromkeys(files)),
        default_config_dirs=list(dict.fromkeys(folders)),
    )


def _register(conf: cfg.ConfigOpts, extra_cli: Iterable[Any]) -> None:
    bus.set_defaults()
    log.register_options(conf)
    log.set_defaults(default_log_levels=[*log.get_default_log_levels(), *QUIET])
    db_options.set_defaults(conf)
    options.register_opts(conf)
    conf.register_cli_opts(list(extra_cli))


def _register_aodh(conf: cfg.ConfigOpts) -> None:
    # Imported here: it loads all of Aodh's API, which takes seconds, and few processes read these options.
    from aodh import opts as aodh_opts  # noqa: PLC0415

    for group, opts in aodh_opts.list_opts():
        for opt in opts:
            if opt.dest != RECORD_HISTORY.dest:
                conf.register_opt(opt, group=None if group == "DEFAULT" else group)


def _register_actions(conf: cfg.ConfigOpts) -> None:
    """Register Aodh's options that every listener reads: of HTTP actions, and of the history."""
    # Imported here, since --help does not need it.
    from aodh.notifier import rest  # noqa: PLC0415

    conf.register_opts(rest.OPTS)
    conf.register_opt(RECORD_HISTORY)


def _register_credentials(conf: cfg.ConfigOpts) -> None:
    """Register the options of the configured auth plugin, which trust+http and zaqar actions read.

    Aodh loads the plugin instead, and then refuses to start when an option is missing.
    """
    # Imported here, since --help does not need it.
    from keystoneauth1 import exceptions as auth_exceptions  # noqa: PLC0415
    from keystoneauth1 import loading  # noqa: PLC0415

    loading.register_auth_conf_options(conf, CREDENTIALS)
    loading.register_session_conf_options(conf, CREDENTIALS)
    auth_type = conf[CREDENTIALS].auth_type
    if not auth_type:
        return
    try:
        conf.register_opts(loading.get_auth_plugin_conf_options(auth_type), group=CREDENTIALS)
    except (auth_exceptions.NoMatchingPlugin, cfg.DuplicateOptError) as exc:
        LOG.warning("[service_credentials] auth_type: %s; actions that need Keystone will fail", exc)


def _check_values(conf: cfg.ConfigOpts) -> None:
    """Read every option once: oslo.config checks a value only when it is read."""
    groups = [*options.list_opts(), ("database", db_options.database_opts)]
    for group, opts in groups:
        for opt in opts:
            try:
                conf[group][opt.dest]
            except cfg.Error as exc:
                place, _, problem = str(exc).rpartition(" is not valid: ")
                where = SOURCE.search(place)
                raise InvalidOption(
                    f"[{group}] {opt.name}",
                    problem,
                    f"correct it in {where[1] if where else 'the configuration'}",
                ) from exc


def _set_up_logging(conf: cfg.ConfigOpts) -> None:
    try:
        log.setup(conf, "eventalarm", package_version())
    except (log.LogConfigError, OSError) as exc:
        raise InvalidOption(
            "[DEFAULT] log_file, log_dir", str(exc), "name a place that this user may write to"
        ) from exc
