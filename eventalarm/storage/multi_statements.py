"""Pipelines of MySQL and MariaDB: several statements, separated by semicolons, as one query."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

# Bytes that are sent together at most, or a quarter of the server's max_allowed_packet if that is less.
# Longer statements are sent by themselves, as without a pipeline.
MOST: Final = 1 << 22
# The attribute of a driver's connection that holds its open pipeline, None or missing without one.
OPEN: Final = "eventalarm_pipeline"
# The attribute of a driver's connection with max_allowed_packet, where it is known.
PACKET: Final = "eventalarm_packet"
# The attribute of a driver's connection to a node of a Galera cluster, see :class:`MultiStatements`.
NODE: Final = "eventalarm_node"
# What is sent first on such a node: a savepoint begins the transaction, and a statement within a transaction
# does not wait until the node has applied what others committed. This one does (wsrep_sync_wait).
WAIT: Final = b"SELECT 1"
# What is sent next, and before the commit, and the errors of MySQL and MariaDB: no such savepoint; another
# transaction won.
MARK: Final = b"SAVEPOINT eventalarm"
IS_MARKED: Final = b"RELEASE SAVEPOINT eventalarm"
NO_SAVEPOINT: Final = 1305
CONFLICT: Final = (1213, "Deadlock found when trying to get lock; try restarting transaction")


class Answer:
    """The rows of one statement, which arrive when the pipeline is sent."""

    def __init__(self) -> None:
        self._rows: Sequence[Any] | None = None
        self._taken = 0

    def arrive(self, rows: Sequence[Any]) -> None:
        """Keep the rows of the statement."""
        self._rows = rows

    @property
    def arrived(self) -> bool:
        """Whether the statement was sent and executed."""
        return self._rows is not None

    def take(self, number: int | None = None) -> list[Any]:
        """Return up to *number* of the rows that were not taken yet, all of them by default."""
        rows = self._rows or ()
        end = len(rows) if number is None else min(len(rows), self._taken + number)
        taken = list(rows[self._taken : end])
        self._taken = end
        return taken


class MultiStatements:
    """The statements of a transaction on one connection of a driver, which is not in autocommit mode.

    A commit on another node of a Galera cluster can roll the transaction back while one of its statements is
    executed. MariaDB then executes the following statements of the same query in a new transaction, commits
    what they wrote, and only then returns the error (seen with 10.11). A savepoint prevents this: it does not
    exist in the new transaction, so that the statement before the commit fails.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._waiting: list[tuple[bytes, Answer]] = []
        self._size = 0
        self._most = min(MOST, getattr(connection, PACKET, MOST) // 4)
        self._marks = bool(getattr(connection, NODE, False))
        if self._marks:
            self.add(WAIT)
            self.add(MARK)

    def add(self, statement: bytes) -> Answer:
        """Have a complete *statement* sent with the others; return where its rows arrive."""
        if self._size + len(statement) > self._most:
            self.send()
        answer = Answer()
        self._waiting.append((statement, answer))
        self._size += len(statement) + 2
        return answer

    def send(self) -> None:
        """Send what waits, and receive all rows; the first error of a statement is raised."""
        if not self._waiting:
            return
        waiting, self._waiting, self._size = self._waiting, [], 0
        cursor = self._connection.cursor()
        try:
            cursor.execute_now(b";\n".join(statement for statement, _ in waiting))
            for number, (_, answer) in enumerate(waiting):
                if number and not cursor.nextset():
                    raise self._connection.InterfaceError("the server did not answer every statement")
                answer.arrive(cursor.fetchall_now() if cursor.description else ())
        finally:
            cursor.close()

    def commit(self) -> None:
        """Send what waits and commit."""
        if self._marks:
            self.add(IS_MARKED)
        self.add(b"COMMIT")
        try:
            self.send()
        except self._connection.Error as exc:
            if self._marks and exc.args[:1] == (NO_SAVEPOINT,):
                raise self._connection.OperationalError(*CONFLICT) from exc
            raise

    def rollback(self) -> None:
        """Forget what waits and roll back."""
        self._waiting.clear()
        self._connection.rollback()


class WaitingCursor:
    """What :func:`waiting_cursor` adds to the cursor of a driver."""

    connection: Any
    arraysize: int
    # PyMySQL sets it only when a statement has been answered; SQLAlchemy asks for it before.
    lastrowid: int | None = None
    _answer: Answer | None = None
    _pipeline: MultiStatements

    def execute(self, query: Any, args: Any = None) -> Any:
        """Execute *query*, or have it wait in the pipeline of the connection."""
        pipeline = getattr(self.connection, OPEN, None)
        if pipeline is None:
            self._answer = None
            return self._driver.execute(query, args)
        complete = query if args is None else self._driver.mogrify(query, args)
        if isinstance(complete, str):
            complete = complete.encode(self.connection.encoding)
        self._pipeline, self._answer = pipeline, pipeline.add(bytes(complete))
        return 0

    @property
    def _driver(self) -> Any:
        """The methods of the driver's own cursor."""
        return super()

    def execute_now(self, queries: bytes) -> None:
        """Execute complete *queries* at once."""
        self._driver.execute(queries)

    def fetchall_now(self) -> Any:
        """Return the rows of the current result of :meth:`execute_now`."""
        return self._driver.fetchall()

    def fetchall(self) -> Any:
        """Return the remaining rows; the pipeline is sent if it was not."""
        return self._driver.fetchall() if self._answer is None else self._take(self._answer)

    def fetchmany(self, size: int | None = None) -> Any:
        """Return up to *size* rows."""
        if self._answer is None:
            return self._driver.fetchmany(size)
        return self._take(self._answer, size or self.arraysize)

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        if self._answer is None:
            return self._driver.fetchone()
        return next(iter(self._take(self._answer, 1)), None)

    def _take(self, answer: Answer, number: int | None = None) -> list[Any]:
        if not answer.arrived:
            self._pipeline.send()
        if not answer.arrived:
            raise self.connection.InterfaceError("the statement was not executed: its transaction failed")
        return answer.take(number)


@functools.cache
def waiting_cursor(base: type) -> type:
    """Return the cursor class *base* of a driver, with statements that wait in the connection's pipeline.

    The driver puts the values into each statement, with the escapes that the session requires.
    """
    return type("WaitingCursor", (WaitingCursor, base), {})
