"""The URL of Aodh's database: read from ``[database] connection``, and completed with a driver."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Final

import sqlalchemy as sa
from oslo_config import cfg

from eventalarm.exceptions import InvalidOption


def database_url(conf: cfg.ConfigOpts) -> str:
    """Return ``[database] connection`` with its driver, without connecting to it.

    :raises InvalidOption: when it is missing or can never work.
    """
    url = conf.database.connection
    if not url:
        raise InvalidOption(
            "[database] connection",
            f"is not set ({_files_read(conf)})",
            "set it as in aodh.conf, or name the file with --config-file",
        )
    complete = with_driver(url)
    try:
        sa.make_url(complete).get_dialect().import_dbapi()
    except (sa.exc.ArgumentError, ImportError) as exc:
        raise unusable_url(exc) from exc
    except ValueError:
        # The message of SQLAlchemy would show a part of the password.
        raise InvalidOption(
            "[database] connection",
            "the port must be a number",
            "percent-encode the special characters of the password, for example @ as %40",
        ) from None
    return complete


def unusable_url(error: Exception) -> InvalidOption:
    """Return the error of a URL that SQLAlchemy refuses with *error*, with the URLs that are supported."""
    return InvalidOption(
        "[database] connection",
        str(error).splitlines()[0],
        "eventalarm supports mysql+pymysql, postgresql and sqlite URLs; "
        "the drivers come with eventalarm[mysql] and eventalarm[postgresql]",
    )


# The parameters of a URL that mysqlclient understands as PyMySQL does; those of TLS mean less there.
SAME_PARAMETERS: Final = frozenset(
    {"charset", "unix_socket", "connect_timeout", "read_timeout", "write_timeout"}
)

CONNECT_TIMEOUT: Final = "10"


def with_mysqlclient(url: str) -> str:
    """Return *url* with mysqlclient in place of PyMySQL, if it is installed and understands *url*."""
    made = sa.make_url(url)
    if made.drivername != "mysql+pymysql" or not SAME_PARAMETERS.issuperset(made.query):
        return url
    try:
        importlib.import_module("MySQLdb")
    except ImportError:
        return url
    # That of PyMySQL; mysqlclient has none.
    query = {"connect_timeout": CONNECT_TIMEOUT, **made.query}
    return made.set(drivername="mysql+mysqldb", query=query).render_as_string(hide_password=False)


def with_driver(url: str) -> str:
    """Return *url* with an explicit driver where its scheme names none.

    ``mysql:`` means PyMySQL, as in Aodh. ``postgresql:`` means psycopg2 up to SQLAlchemy 2.0 and psycopg 3
    since 2.1; the installed one is used.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "mysql":
        scheme = "mysql+pymysql"
    elif scheme == "postgresql":
        drivers = [name for name in ("psycopg", "psycopg2") if importlib.util.find_spec(name)]
        scheme = f"postgresql+{drivers[0]}" if drivers else scheme
    return f"{scheme}{separator}{rest}"


def _files_read(conf: cfg.ConfigOpts) -> str:
    files = conf.config_file or []
    return f"files read: {', '.join(files)}" if files else "no configuration file was found"
