"""Options of the database sessions and of retention, group ``[eventalarm]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

DATABASE_OPTS: list[Any] = [
    cfg.FloatOpt(
        "retry_initial",
        default=0.1,
        min=0.001,
        help="Seconds before the first retry after a database failure. The delay doubles with each retry, "
        "with jitter, up to retry_max. Events are held in the meantime and never dropped.",
    ),
    cfg.FloatOpt(
        "retry_max",
        default=2.0,
        min=0.01,
        help="Maximum delay between two retries, in seconds. Alarms fire again about this long after the "
        "database has become available.",
    ),
    cfg.FloatOpt(
        "lock_timeout",
        default=5.0,
        min=0.1,
        help="Seconds to wait for a row or table that another database session has locked. The events of "
        "an alarm that stays locked are deferred and retried every second; all others proceed. MySQL and "
        "MariaDB round it to whole seconds.",
    ),
    cfg.FloatOpt(
        "idle_transaction_timeout",
        default=10.0,
        min=1.0,
        help="Seconds after which the database server terminates an idle transaction of eventalarm, or "
        "closes a connection whose client does not read. This bounds how long a process that is suspended, "
        "or whose host has failed, keeps rows locked. It is set in each session: "
        "idle_in_transaction_session_timeout and tcp_user_timeout on PostgreSQL; idle_transaction_timeout, "
        "net_read_timeout and net_write_timeout on MariaDB. MySQL has no timeout for idle transactions; "
        "wait_timeout is set instead, so idle connections are reopened.",
    ),
    cfg.BoolOpt(
        "pipelines",
        default=True,
        help="Whether listeners send the statements of a transaction together, so that a fired event takes "
        "two round trips to the database in place of ten: on MySQL and MariaDB as one query, "
        "which is allowed on the connections of listeners only; on PostgreSQL in the pipeline mode of "
        "psycopg 3. Turn it off for a proxy that does not pass several statements in one query. Without "
        "effect on SQLite, and through a pooler such as pgbouncer.",
    ),
    cfg.BoolOpt(
        "mysqlclient",
        default=True,
        help="Whether a [database] connection of mysql:// or mysql+pymysql:// uses mysqlclient where that is "
        "installed (pip install eventalarm[mysqlclient]), which takes less processor time than PyMySQL. A "
        "URL with parameters other than charset, unix_socket and timeouts, those of TLS for example, keeps "
        "PyMySQL; so does turning this off.",
    ),
    cfg.FloatOpt(
        "max_clock_skew",
        default=0.5,
        min=0.0,
        help="Seconds by which clocks may differ: those of two nodes of the database, and what two hosts "
        "measure while a lease lasts, since a host may have been paused. A lease is taken over this much "
        "later than its holder stops using it, and what one process compares with a time that another one "
        "read from the database is considered reached this much later. An event may be this much in the "
        "future; one that is further ahead counts as generated when it is received. eventalarm-status check "
        "warns of hosts whose clock differs by more from the database's.",
    ),
    cfg.IntOpt(
        "history_time_to_live",
        default=30 * 86400,
        min=-1,
        help="Seconds for which eventalarm-expirer keeps finished transitions, cleared occurrences and "
        "finished deliveries. -1 keeps them forever.",
    ),
    cfg.IntOpt(
        "expire_batch_size",
        default=1000,
        min=1,
        help="Number of rows that eventalarm-expirer deletes in one transaction. A small number keeps locks "
        "short.",
    ),
]
