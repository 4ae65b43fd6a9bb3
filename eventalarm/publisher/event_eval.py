"""The Ceilometer event publisher ``eventalarm://``: puts every event on the ``event_eval`` topic."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ceilometer import declarative, publisher
from ceilometer import pipeline as shipped
from ceilometer.publisher import utils
from oslo_config import cfg
from oslo_log import log

from eventalarm import bus
from eventalarm.exceptions import InvalidOption
from eventalarm.owner import conventional_trait, naming
from eventalarm.patterns import matches_glob
from eventalarm.publisher import codec, options, policies
from eventalarm.publisher.partitions import Partitioning

LOG = log.getLogger(__name__)

# Event types come from outside, so the cache needs a limit; a cloud has a few hundred.
MAX_TYPES: Final = 10_000


class EventEvalPublisher(publisher.ConfigPublisherBase):  # type: ignore[misc]
    """Publishes events to the topic that its URL in ``event_pipeline.yaml`` names.

    :raises InvalidOption: from the constructor, naming the invalid option of the URL.
    """

    def __init__(self, conf: cfg.ConfigOpts, parsed_url: urllib.parse.SplitResult) -> None:
        super().__init__(conf, parsed_url)
        try:
            chosen = options.parse(parsed_url)
            self._check_driver(conf, chosen)
            self._transport = bus.get_transport(
                conf, chosen.url, options=chosen.driver_options, accept_loss=chosen.accept_event_loss
            )
        except InvalidOption as exc:
            # Ceilometer logs a traceback and continues without this publisher; this line states the
            # consequence.
            LOG.error(
                "eventalarm:// publishes nothing until its URL is corrected: %s (options: %s; all others are "
                "passed to the oslo.messaging driver)",
                exc,
                ", ".join(options.READERS),
            )
            raise
        send = bus.events_sender(
            self._transport,
            split=Partitioning(chosen.topic, chosen.partitions, chosen.owner_traits).split,
            exchange=chosen.exchange,
            publisher_id=f"eventalarm.publisher.{conf.host}",
        )
        where = f"{bus.describe(conf, chosen.url)} topic {chosen.topic}"
        self._policy = policies.make(send, chosen, where)
        self._owner_trait = read_owner_traits(conf)
        LOG.info("Publishing events to %s, policy %s", where, chosen.policy)

    @staticmethod
    def _check_driver(conf: cfg.ConfigOpts, chosen: options.PublisherOptions) -> None:
        if chosen.url is None and chosen.driver is not None:
            default = bus.describe(conf).partition("://")[0]
            if chosen.driver != default:
                raise InvalidOption(
                    "driver",
                    f"{chosen.driver} needs a host: Ceilometer's own transport is {default}",
                    "add the host to the URL",
                )

    def publish_samples(self, samples: Sequence[Any]) -> None:
        """Reject samples: this publisher is for events only.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError("eventalarm:// publishes events only; configure it in event_pipeline.yaml")

    def publish_events(self, events: Sequence[Any]) -> None:
        """Publish Ceilometer events in order; one that cannot be serialised is logged and skipped.

        :raises PublishError: policy ``default`` after ``max_retry`` tries; Ceilometer then acts on its
            ``[notification] ack_on_event_error``.
        """
        encoded = [one for one in map(self._encode, events) if one is not None]
        if encoded:
            self._policy.publish(encoded)

    def _encode(self, event: Any) -> codec.Encoded | None:
        try:
            body = utils.message_from_event(event, self.conf.publisher.telemetry_secret)
            if (trait := self._owner_trait(event.event_type)) is not None:
                body[codec.OWNER_TRAIT] = trait
            return codec.encode(body)
        except Exception as exc:  # noqa: BLE001 - a hostile notification must not stop the others
            message_id = getattr(event, "message_id", "")
            LOG.error(
                "Dropped event %s: it cannot be serialised (%s: %.200s)", message_id, type(exc).__name__, exc
            )
            return None

    def close(self) -> None:
        """Raise PublishError in callers that wait for the broker, and close the connection."""
        self._policy.close()
        self._transport.cleanup()


class OwnerTraits:
    """Finds the owner trait of an event type; the last definition that applies wins, as in Ceilometer."""

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        self._definitions = [
            (included, excluded, naming(one).trait)
            for one in reversed(definitions)
            for included, excluded in [_types(one)]
        ]
        self._known: dict[str, str | None] = {}

    def __call__(self, event_type: str) -> str | None:
        """Return the trait to send with the event, or None where the listener finds it by convention."""
        try:
            return self._known[event_type]
        except KeyError:
            pass
        if len(self._known) >= MAX_TYPES:
            self._known.clear()
        trait = self._find(event_type)
        self._known[event_type] = trait = None if trait == conventional_trait(event_type) else trait
        return trait

    def _find(self, event_type: str) -> str | None:
        for included, excluded, trait in self._definitions:
            if any(matches_glob(event_type, one) for one in included) and not any(
                matches_glob(event_type, one) for one in excluded
            ):
                return trait
        return None


def _types(definition: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    given = definition["event_type"]
    listed = [given] if isinstance(given, str) else list(given)
    excluded = [one[1:] for one in listed if one.startswith("!")]
    return [one for one in listed if not one.startswith("!")] or ["*"], excluded


def read_owner_traits(conf: cfg.ConfigOpts) -> OwnerTraits:
    """Read the event definitions that Ceilometer reads.

    A file that cannot be read is logged, and listeners find owners by convention; Ceilometer's own loader
    decides whether the agent starts.
    """
    try:
        fallback = os.path.join(shipped.__path__[0], "data", "event_definitions.yaml")
        found = declarative.load_definitions(conf, [], conf.event.definitions_cfg_file, fallback)
        return OwnerTraits(found or [])
    except Exception as exc:  # noqa: BLE001 - an error in the file must not stop events
        LOG.warning("Event definitions cannot be read; owners of events are found by convention: %s", exc)
        return OwnerTraits([])
