"""The runners of a cloud of its own: events of many alarms, and users of Aodh's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eventalarm.trial.fields import Fields
from eventalarm.trial.own_cloud.load.runners import EventLoad
from eventalarm.trial.own_cloud.load.stories import Plan, Story, Writer, projects_of
from eventalarm.trial.own_cloud.load.users import Users
from eventalarm.trial.own_cloud.stage import Stage
from eventalarm.trial.own_cloud.trial_stage import own_cloud_of
from eventalarm.trial.plugins import Context, Options

SEEDS: Final = 2**31
# Seconds that stories which have begun may take to end.
PATIENCE: Final = 60.0


class StoriesRunner:
    """Plays seeded stories at random moments, whether or not earlier ones are finished (an open loop)."""

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, context.name)
        seconds = fields.seconds("seconds", 60.0, 1.0)
        rate = fields.number("rate", 20.0, 0.1, 1000.0) or 0.0
        fields.done()
        self._plan = Plan(context.chance.randrange(SEEDS), seconds, rate)
        self._cloud = own_cloud_of(context)
        self._cloud.prepare(self._prepare)
        self._stories: list[Story] = []
        self._load: EventLoad | None = None

    def plan(self) -> Sequence[str]:
        """Return how much is published."""
        return (
            f"{self._plan.rate:g} stories a second about alarms of its own, for {self._plan.seconds:g} s",
        )

    def _prepare(self, stage: Stage) -> None:
        """Insert the alarms that the stories are about."""
        writer = Writer(self._plan, list(stage.actions.values()))
        self._stories = list(writer.stories())
        fresh = [(story.alarm, story.clears) for story in self._stories if story.fresh]
        stage.insert([*((spec, False) for spec in writer.shared), *fresh])

    def start(self) -> None:
        """Begin."""
        self._load = EventLoad(self._stories, self._cloud.publisher, self._cloud.stage.committed)
        self._load.start()

    def stop(self) -> None:
        """Begin no further story, and wait for those that have begun."""
        if self._load is not None:
            self._load.finish()
            self._load.join(PATIENCE)

    def close(self) -> None:
        """Do nothing: the database ends with the stage."""

    def results(self) -> Mapping[str, float]:
        """Return what was published."""
        if self._load is None:
            return {}
        publisher = self._cloud.publisher
        return {
            "events": publisher.published,
            "messages": publisher.messages,
            "messages sent again by the publisher": publisher.resent,
            **self._load.counts,
            "seconds that the load was late at most": round(self._load.late_by, 2),
        }

    def problems(self) -> Sequence[str]:
        """Return whether stories did not end."""
        if self._load is not None and self._load.is_alive():
            return (f"stories were not over {PATIENCE:g} s after the end of the load",)
        return ()


class UsersRunner:
    """Creates alarms through the Aodh API, fires them at once, edits them, and fires them again."""

    def __init__(self, context: Context, options: Options) -> None:
        fields = Fields(options, context.name)
        self._rate = fields.number("rate", 1.0, 0.01, 50.0) or 0.0
        fields.done()
        self._seed = context.chance.randrange(SEEDS)
        self._cloud = own_cloud_of(context)
        self._users: Users | None = None

    def plan(self) -> Sequence[str]:
        """Return how much is done."""
        return (f"{self._rate:g} alarms a second are created through the Aodh API, fired and edited",)

    def start(self) -> None:
        """Begin."""
        stage = self._cloud.stage
        self._users = Users(
            stage.cloud.client,
            self._cloud.publisher,
            stage.committed,
            stage.history,
            projects=projects_of(Plan(self._seed, 0.0, self._rate)),
            actions=list(stage.actions.values()),
            seed=self._seed,
            rate=self._rate,
        )
        self._users.start()

    def stop(self) -> None:
        """Let the current user end, and begin with no further one."""
        if self._users is not None:
            self._users.finish()

    def close(self) -> None:
        """Do nothing: the database ends with the stage."""

    def results(self) -> Mapping[str, float]:
        """Return what was done."""
        if self._users is None:
            return {}
        return {"alarms created": self._users.created, "requests refused": self._users.refused}

    def problems(self) -> Sequence[str]:
        """Return whether no alarm could be created at all."""
        if self._users is not None and self._users.refused and not self._users.created:
            return ("the Aodh API created no alarm",)
        return ()
