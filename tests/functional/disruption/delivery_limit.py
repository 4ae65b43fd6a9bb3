"""Listeners killed in mid-batch more often than the broker's delivery limit: nothing may be lost."""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from eventalarm.database_url import with_driver
from eventalarm.storage.tables import alarm
from eventalarm.trial.history.records import Strike
from eventalarm.trial.own_cloud.monitors import depth
from eventalarm.trial.own_cloud.play import SETTLE, Finding, Play
from eventalarm.trial.own_cloud.progress import NotInTime, Progress, wait
from eventalarm.trial.own_cloud.services.restartable import RabbitMQ
from eventalarm.trial.own_cloud.stage import Ground, epoch

DEAD = "event_eval.dead"
POLICY = {"dead-letter-exchange": "", "dead-letter-routing-key": DEAD}
# InnoDB refreshes the view of waiting sessions at most every tenth of a second.
LOOK_EVERY = 0.15
RENEWED = "Renewed message"
# Counts the sessions that wait for a locked row.
WAITING = {
    "mysql": "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx "
    "JOIN information_schema.processlist ON id = trx_mysql_thread_id "
    "WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()",
    "postgresql": "SELECT pid FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock' AND datname = current_database()",
}


class AlarmLocks:
    """Stops every batch on some alarms in its transaction.

    Rows are locked instead of tables, because a listener executes a trial transaction before it takes its
    first message.
    """

    def __init__(self, url: str) -> None:
        # With this level InnoDB locks the rows alone, not the gaps between them.
        self._engine = sa.create_engine(with_driver(url), isolation_level="READ COMMITTED")
        self._known: set[int] = set()

    @contextlib.contextmanager
    def held(self, alarm_ids: Sequence[str]) -> Iterator[None]:
        """Hold the locks."""
        rows = sa.select(alarm.c.alarm_id).where(alarm.c.alarm_id.in_(alarm_ids)).with_for_update()
        with self._engine.begin() as connection:
            assert len(connection.execute(rows).all()) == len(alarm_ids)
            yield

    def reached(self) -> bool:
        """Return True if a session waits that was not reported before; those of dead processes wait too."""
        # InnoDB renews what it shows of transactions only when nobody has read it for 0.1 s.
        time.sleep(0.15)
        with self._engine.connect() as connection:
            query = sa.text(WAITING[self._engine.dialect.name])
            waiting = set(connection.execute(query).scalars())
        news = waiting - self._known
        self._known |= waiting
        return bool(news)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _keep_dead_letters(rabbitmq: RabbitMQ, url: str) -> None:
    """Apply the policy of the operator's guide: dropped messages go to the dead-letter queue."""
    vhost = url.partition("?")[0].rpartition("/")[2]
    pattern = r"^event_eval\.sample$"
    rabbitmq.ctl("set_policy", "-p", vhost, "--apply-to", "queues", "dead", pattern, json.dumps(POLICY))


def delivery_limit(
    ground: Ground,
    directory: pathlib.Path,
    progress: Progress,
    *,
    limit: int = 20,
    kills: int = 25,
    events: int = 5,
    seed: int = 1,
) -> Finding:
    """Kill the only listener *kills* times in the middle of the batch of *events*, then let one finish.

    The queue is a quorum queue with a lower delivery limit, at which the broker itself would drop each
    message. All events must fire, and none may become a dead letter.
    """
    broker = f"&rabbit_quorum_delivery_limit={limit}"
    play = Play(ground, directory, ["healthy"], progress, seed, broker=broker, lease=3.0, poll_interval=0.2)
    stage, rabbitmq = play.stage, ground.rabbitmq
    locks = AlarmLocks(stage.cloud.database_url)
    try:
        _keep_dead_letters(rabbitmq, stage.transport_url)
        alarms = play.alarms("healthy", events)
        listener = stage.listeners[0]
        listener.start(wait=True)
        listener.process.terminate()
        done = 0
        with locks.held([spec.alarm_id for spec in alarms]):
            for spec in alarms:
                play.publish(play.event(spec))
            # Messages that the broker dropped are in no further batch.
            with contextlib.suppress(NotInTime):
                while done < kills:
                    listener.start()
                    about = lambda: f"kill {done + 1} of {kills}"  # noqa: B023, E731
                    wait(locks.reached, SETTLE, progress, about, pause=LOOK_EVERY)
                    listener.kill()
                    play.stage.history.add(Strike(epoch(), epoch(), "kill listener"))
                    done += 1
            listener.kill()
        listener.start()
        # Lost events never arrive, which the figures then show.
        with contextlib.suppress(NotInTime):
            play.latencies(set(play.published))
            play.idle("the queue")
        return _found(play, rabbitmq, {"delivery limit": limit, "kills in mid-batch": done})
    finally:
        locks.close()
        play.close()


def _found(play: Play, rabbitmq: RabbitMQ, figures: dict[str, Any]) -> Finding:
    events, fired = len(play.published), len(play.accepted())
    dead = rabbitmq.queues(play.stage.transport_url)[DEAD]["messages"]
    left, renewals = depth(play.stage), sum(text.count(RENEWED) for text in play.stage.texts())
    figures |= {
        "events": events,
        "events fired": fired,
        "renewals": renewals,
        "dead letters": dead,
    }
    verdict = play.verdict("delivery-limit")
    wrong = verdict.problems
    if dead or left:
        wrong.append(f"{dead} dead letters, {left} messages left")
    numbers = {name: float(value) for name, value in figures.items()}
    return Finding("delivery-limit", numbers, wrong, play.rows(verdict))
