"""Classes of database errors: caused by the values, by another transaction, or by the database itself.

:data:`retry_conflicts` repeats a transaction after an error of the second class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
import tenacity
from oslo_db import exception as db_exception

from eventalarm.exceptions import Conflict
from eventalarm.storage.session import code_of

# Errors that the values caused. All others (no connection, deadlock, a server that starts or stops, a missing
# grant or table) are failures of the database, during which work is held.
CONTENT_ERRORS = (
    db_exception.DBDataError,
    db_exception.DBDuplicateEntry,
    db_exception.DBReferenceError,
    db_exception.DBConstraintError,
    db_exception.DBInvalidUnicodeParameter,
    sa.exc.DataError,
    sa.exc.IntegrityError,
)

VALUE_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

# The wait for a lock timed out: PostgreSQL's state, MySQL's codes.
LOCK_WAIT_ENDED = frozenset({"55P03", 1205, 3572})

# MySQL's and MariaDB's errors for a packet, row or result that is too large; the first two also occur if the
# connection broke for any other reason.
MYSQL_CODES: Final = frozenset({2006, 2013, 1118, 1153, 1301})
# PostgreSQL: out of memory, and every kind of exceeded limit.
POSTGRESQL_CODES: Final = ("53200", "54")

# Attempts of a short transaction that conflicts with others, and the longest pause between two in seconds.
ATTEMPTS: Final = 5
PAUSE: Final = 0.05

# A decorator: repeats a transaction that lost a conflict, or whose row another transaction has just inserted.
# After the last attempt its error is raised: that of a row that exists is a content error, since the database
# then takes two different keys for the same.
retry_conflicts: Final = tenacity.retry(
    retry=tenacity.retry_if_exception_type((Conflict, db_exception.DBDuplicateEntry)),
    wait=tenacity.wait_random(max=PAUSE),
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    reraise=True,
)


def is_content_error(error: BaseException) -> bool:
    """Return True if the values that the database was given caused *error*: a retry cannot succeed."""
    if isinstance(error, CONTENT_ERRORS):
        return True
    if type(error) is db_exception.DBError:
        # oslo.db did not classify it. The driver did: the DB-API defines the names of its classes.
        inner: Any = getattr(error, "inner_exception", None)
        names = {kind.__name__ for kind in type(inner).__mro__}
        by_name = not names.isdisjoint(("DataError", "IntegrityError"))
        return by_name or isinstance(inner, VALUE_ERRORS) or is_content_error(inner)
    return isinstance(error, sa.exc.StatementError) and not isinstance(error, sa.exc.DBAPIError)


def is_lock_timeout(error: BaseException) -> bool:
    """Return True if *error* says that the wait for a lock timed out."""
    found: Any = error
    while isinstance(found, db_exception.DBError | sa.exc.DBAPIError):
        found = found.inner_exception if isinstance(found, db_exception.DBError) else found.orig
    return code_of(found) in LOCK_WAIT_ENDED


def is_conflict(error: BaseException) -> bool:
    """Return True if another transaction won, here or on another node of a cluster: a retry can succeed."""
    return isinstance(error, db_exception.DBDeadlock) and not is_lock_timeout(error)


def may_be_content(error: BaseException) -> bool:
    """Return True if the values, for example their size, can have caused *error*.

    This holds only if the database answers: broken connections are included. Locks, missing tables, full
    disks and read-only servers are not.
    """
    for one in _causes(error):
        if isinstance(one, db_exception.DBConnectionError | ConnectionError):
            return True
        arguments = getattr(one, "args", ())
        if arguments and arguments[0] in MYSQL_CODES:
            return True
        code = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if isinstance(code, str) and code.startswith(POSTGRESQL_CODES):
            return True
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what it wraps, as Python, oslo.db and SQLAlchemy each do."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, getattr(one, "inner_exception", None), getattr(one, "orig", None)]
