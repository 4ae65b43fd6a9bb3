"""The circuits that a process knows: what its own attempts do to them, and what the database says of them."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import cachetools

from eventalarm.backoff import Uniform
from eventalarm.delivery import circuit as rules_of
from eventalarm.delivery.action import masked
from eventalarm.delivery.circuit import CircuitRules, Effect
from eventalarm.exceptions import DeliveryError
from eventalarm.log_fields import fields
from eventalarm.model import Circuit, CircuitState, Delivery
from eventalarm.storage.column_types import to_key

LOG = logging.getLogger(__name__)

# How many closed circuits with failures are remembered, and how many of a project may be open: the deliveries
# to a destination beyond that are retried each by itself.
COUNTED: Final = 10_000
MOST_OPEN: Final = 1000
# How many probes may be under way.
PROBES: Final = 10_000

# A project and a destination of it.
Key = tuple[str, str]


def key_of(item: Delivery | Circuit) -> Key:
    """Return the key of a circuit, or of that to whose destination a delivery goes."""
    return item.project_id, to_key(item.destination)


def url_key(delivery: Delivery) -> Key:
    """Return the key of the circuit of the URL of a delivery alone, which is disabled if it is gone."""
    return delivery.project_id, to_key(masked(delivery.action))


class CircuitBoard:
    """Decides which deliveries are deferred, and notes the results of attempts.

    A delivery without a destination has no circuit; neither has a notification of a subscriber, whose
    subscription is suspended instead. What changes here is stored by another object, which asks for it with
    :meth:`unsaved`. Not thread-safe: it belongs to the event loop.

    :param now: the clock that all processes share.
    """

    def __init__(
        self,
        rules: CircuitRules,
        now: Callable[[], datetime.datetime],
        uniform: Uniform = random.uniform,
    ) -> None:
        self._rules = rules
        self.now = now
        self._uniform = uniform
        # Those that are not closed, and those whose closing is not stored yet.
        self._known: dict[Key, Circuit] = {}
        self._counted: cachetools.LRUCache[Key, Circuit] = cachetools.LRUCache(COUNTED)
        self._of_project: Counter[str] = Counter()
        self._unsaved: dict[Key, None] = {}
        # The ids of the deliveries that are sent as probes.
        self._probes: cachetools.LRUCache[str, None] = cachetools.LRUCache(PROBES)
        # The half-open circuits whose probe was not sent.
        self._vacant: set[Key] = set()

    @property
    def enabled(self) -> bool:
        """Whether circuits are opened at all."""
        return self._rules.failures > 0

    def defers(self, deliveries: Sequence[Delivery]) -> bool:
        """Return True if *deliveries*, all to one destination, must wait for its circuit to close.

        Those to a disabled URL of it do not wait, since they are given up.
        """
        if not self._known or deliveries[0].subscription_id:
            return False
        known = self._known.get(key_of(deliveries[0]))
        if known is None or not known.defers or self.disabled(deliveries[0]) is not None:
            return False
        return not any(one.delivery_id in self._probes for one in deliveries)

    def disabled(self, delivery: Delivery) -> Circuit | None:
        """Return the circuit if the destination or the URL is disabled: nothing is sent to it."""
        if delivery.project_id not in self._of_project or delivery.subscription_id:
            return None
        for key in (key_of(delivery), url_key(delivery)):
            known = self._known.get(key)
            if known is not None and known.state == CircuitState.DISABLED:
                return known
        return None

    def note(self, deliveries: Sequence[Delivery], error: DeliveryError | None = None) -> None:
        """Note the result of one attempt of *deliveries*, sent together: *error*, or None if accepted."""
        first = deliveries[0]
        if not self.enabled or not first.destination or first.subscription_id:
            return
        is_probe = self._ends_probe(deliveries)
        effect = rules_of.effect_of(error, self._rules)
        if effect == Effect.GONE and error is not None:
            # The destination itself is alive: other URLs of it are called as before.
            self._disable(url_key(first), error)
            effect = Effect.ANSWERED
        key = key_of(first)
        known = self._known.get(key) or self._counted.get(key)
        if known is None and effect in {Effect.ANSWERED, Effect.NOTHING}:
            return
        known = known or Circuit(*key)
        if effect == Effect.ANSWERED:
            self._change(known, rules_of.succeeded(known))
        elif effect == Effect.NOTHING or error is None:
            if is_probe:
                self._change(known, rules_of.without_probe(known, self.now(), self._rules))
        else:
            after = rules_of.failed(known, error, self.now(), self._rules, self._uniform, is_probe=is_probe)
            self._change(known, after)

    def gave_up(self, deliveries: Sequence[Delivery]) -> None:
        """Note that *deliveries* were given up without an attempt; a probe among them must be replaced."""
        known = self._known.get(key_of(deliveries[0]))
        if self._ends_probe(deliveries) and known is not None:
            self._change(known, rules_of.probe_again(known, self.now()))

    def pass_on_probe(self, delivery: Delivery) -> None:
        """Note that *delivery* is not sent: if it was the probe, the next one to its destination replaces it.

        That is usually the one behind it, which is not found as a probe since it was never deferred.
        """
        if self._ends_probe((delivery,)) and key_of(delivery) in self._known:
            self._vacant.add(key_of(delivery))

    def takes_probe(self, delivery: Delivery) -> bool:
        """Return True if *delivery* is sent as a probe from now on, in the place of one that was not sent."""
        if key_of(delivery) not in self._vacant:
            return False
        self._vacant.discard(key_of(delivery))
        self.send_as_probe(delivery)
        return True

    def _disable(self, key: Key, error: DeliveryError) -> None:
        known = self._known.get(key) or Circuit(*key)
        self._change(known, rules_of.gone(known, error, self.now()))

    def _ends_probe(self, deliveries: Sequence[Delivery]) -> bool:
        ended = [one.delivery_id for one in deliveries if one.delivery_id in self._probes]
        for delivery_id in ended:
            del self._probes[delivery_id]
        return bool(ended)

    def _change(self, before: Circuit, after: Circuit) -> None:
        if after == before:
            return
        key = key_of(after)
        opens = before.state == CircuitState.CLOSED and after.state != CircuitState.CLOSED
        if opens and self._of_project[after.project_id] >= MOST_OPEN:
            return
        self._keep(after)
        if key in self._known:
            self._unsaved[key] = None
        else:
            self._unsaved.pop(key, None)
        if before.state != after.state:
            _report(before, after)

    def _keep(self, circuit: Circuit) -> None:
        """Remember a circuit in place of what was known of it."""
        key = key_of(circuit)
        self._forget(key)
        # One that is closed here and open in the database must still be closed there.
        if circuit.state != CircuitState.CLOSED or circuit.version:
            self._known[key] = circuit
            self._of_project[circuit.project_id] += 1
        elif circuit.failures:
            self._counted[key] = circuit

    def _forget(self, key: Key) -> None:
        self._counted.pop(key, None)
        self._vacant.discard(key)
        if self._known.pop(key, None) is None:
            return
        self._of_project[key[0]] -= 1
        if not self._of_project[key[0]]:
            del self._of_project[key[0]]

    def unsaved(self) -> list[Circuit]:
        """Return the circuits that changed here and are not stored yet."""
        return [self._known[key] for key in self._unsaved]

    def saved(self, circuit: Circuit, stored: Circuit | None) -> list[Circuit]:
        """Note what the database has after *circuit* was to be stored; return it if it closed.

        *stored* is another state if another process changed it first, and None if the row is gone.
        """
        key = key_of(circuit)
        known = self._known.get(key)
        if known is None:
            return []
        if stored is None or known != circuit:
            # The next write is of what changed meanwhile.
            self._keep(dataclasses.replace(known, version=stored.version if stored is not None else 0))
            return []
        return self.learn([stored])

    def learn(self, stored: Iterable[Circuit]) -> list[Circuit]:
        """Adopt circuits as the database has them; return those that are closed there and were not here."""
        closed = []
        for one in stored:
            key = key_of(one)
            before = self._known.get(key)
            if before is not None and before.version >= one.version:
                continue
            self._unsaved.pop(key, None)
            if one.state != CircuitState.CLOSED:
                self._keep(one)
            elif before is not None:
                self._forget(key)
                closed.append(one)
        return closed

    def due(self) -> list[Circuit]:
        """Return the circuits of which a probe is due."""
        now = self.now()
        return [one for one in self._known.values() if rules_of.probe_is_due(one, now)]

    def probing(self, circuit: Circuit) -> Circuit:
        """Return what *circuit* becomes with the probe that is due."""
        return rules_of.probing(circuit, self.now(), self._rules)

    def without_probe(self, circuit: Circuit) -> None:
        """Note that no delivery waits for *circuit*, as it is stored."""
        self._change(circuit, rules_of.without_probe(circuit, self.now(), self._rules))

    def send_as_probe(self, delivery: Delivery) -> None:
        """Let *delivery* be sent although the circuit of its destination is open."""
        self._probes[delivery.delivery_id] = None


def _report(before: Circuit, after: Circuit) -> None:
    place = after.destination, after.project_id or "(none)"
    extra = fields(destination=after.destination, project_id=after.project_id)
    if after.state == CircuitState.DISABLED:
        LOG.warning(
            "Destination %s of project %s is disabled (%s), failing since %s. Enable it with: "
            "openstack eventalarm destination enable",
            *place,
            after.error,
            after.failing_since,
            extra=extra,
        )
    elif before.state == CircuitState.CLOSED:
        LOG.warning(
            "Destination %s of project %s fails (%s); its deliveries wait", *place, after.error, extra=extra
        )
    elif after.state == CircuitState.CLOSED:
        LOG.info("Destination %s of project %s answers again", *place, extra=extra)
