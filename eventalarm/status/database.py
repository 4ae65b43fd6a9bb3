"""The checks of clocks, and of the state of the services in the tables."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Final

from eventalarm import tacker_action
from eventalarm.exceptions import InvalidOption
from eventalarm.model import EVENT_ALARM_TYPES
from eventalarm.status.checks import SHOWN, Finding, Level, named
from eventalarm.storage import schema, stats
from eventalarm.storage.database import Database
from eventalarm.storage.hosts import Hosts
from eventalarm.storage.resource_map import ResourceMap
from eventalarm.vault import Vault

DAY: Final = datetime.timedelta(days=1)
ALARM_TYPES: Final = tuple(sorted(EVENT_ALARM_TYPES))
MAX_ACTIONS_CHECKED: Final = 1000
MAX_SECRETS_CHECKED: Final = 1000
RUN_LISTENER: Final = "start eventalarm-listener, or see its log"
SYNCHRONISE: Final = "synchronise the clocks of all hosts, for example with chrony"


def check_clocks(database: Database, overlap: float, max_skew: float) -> Finding:
    """Compare the clocks of listeners, of this host and of the hosts of Aodh's API with the database's."""
    changed = stats.last_alarm_change(database)
    now = database.now()
    offsets = dict(stats.clock_offsets(database))
    offsets["this host"] = database.clock.host_offset() or 0.0
    return clocks_finding(offsets, None if changed is None else changed - now, overlap, max_skew)


def clocks_finding(
    offsets: Mapping[str, float], newest: datetime.timedelta | None, overlap: float, max_skew: float
) -> Finding:
    """Return the finding on the clocks of hosts.

    :param offsets: by how many seconds each host is ahead of the database.
    :param newest: how far the last change of an alarm lies in the database's future, negative for the past.
    :param overlap: seconds by which the clocks of the hosts of Aodh's API may differ.
    :param max_skew: seconds by which the clock of a host may differ from the database's.
    """
    figures = {host: round(seconds, 3) for host, seconds in sorted(offsets.items())}
    if newest is not None and newest.total_seconds() > overlap:
        return Finding(
            Level.FAILED,
            f"an alarm was changed {newest.total_seconds():.1f} s in the database's future: the clock of a "
            "host that runs Aodh's API is ahead, and new alarms from other hosts can be missed",
            SYNCHRONISE,
            figures,
        )
    wrong = [f"{host} by {seconds:+.1f} s" for host, seconds in figures.items() if abs(seconds) > max_skew]
    if wrong:
        text = f"clocks differ from the database's: {', '.join(wrong)}"
        return Finding(Level.WARNING, text, SYNCHRONISE, figures)
    return Finding(Level.OK, f"the clocks of {len(figures)} hosts agree with the database's", figures=figures)


def check_schema(database: Database) -> Finding:
    """Compare Aodh's tables and those of eventalarm with what this release needs."""
    status = schema.check(database)
    if status.state is schema.SchemaState.CURRENT:
        return Finding(Level.OK, f"Aodh's tables exist; {status.message}")
    problem, _, remedy = status.message.rpartition("; ")
    return Finding(Level.WARNING if status.usable else Level.FAILED, problem, remedy)


def check_listeners(database: Database) -> Finding:
    """Count the listener processes whose lease is valid."""
    live = stats.live_listeners(database)
    hosts = sorted(set(live.hosts))
    figures = {"processes": len(live.hosts), "hosts": len(hosts)}
    if not hosts:
        return Finding(Level.FAILED, "no listener is running", RUN_LISTENER, figures)
    text = f"{len(live.hosts)} listener processes are running on {named(hosts)}"
    return Finding(Level.OK, text, figures=figures)


def check_alarms(database: Database) -> Finding:
    """Count the alarms that listeners evaluate.

    Warn of alarms that are at a limit, and of actions that Tacker refuses.
    """
    found = stats.alarm_figures(database, ALARM_TYPES, SHOWN + 1)
    if not found.enabled:
        return Finding(Level.OK, "no event alarm is enabled: nothing can fire yet", figures={"event": 0})
    text = " and ".join(f"{number} enabled {kind} alarms" for kind, number in sorted(found.enabled.items()))
    if found.full:
        return Finding(
            Level.WARNING,
            f"{text}; raised on max_occurrences_per_alarm managed objects, so that further ones are not "
            f"recorded: {named(found.full)}",
            "group these alarms by a trait with fewer values, or raise [eventalarm] "
            "max_occurrences_per_alarm",
            found.enabled,
        )
    if found.full_awaited:
        return Finding(
            Level.WARNING,
            f"{text}; awaiting the absence, or tracking the objects, of max_occurrences_per_alarm managed "
            f"objects, so that further ones are not observed: {named(found.full_awaited)}",
            "group these alarms by a trait with fewer values, or raise [eventalarm] "
            "max_occurrences_per_alarm",
            found.enabled,
        )
    if problem := _refused_by_tacker(database):
        return Finding(Level.WARNING, f"{text}; {problem}", "correct the action of the alarm", found.enabled)
    return Finding(Level.OK, text, figures=found.enabled)


def _refused_by_tacker(database: Database) -> str:
    """Name an ``event`` alarm with an action that Tacker refuses: Aodh's API does not validate these."""
    for alarm_id, actions in stats.actions_like(database, "%tacker+http%", MAX_ACTIONS_CHECKED):
        for action in actions:
            if problem := tacker_action.problem(action):
                return f"alarm {alarm_id} has an action that Tacker refuses: {problem}"
    return ""


def check_outbox(database: Database, warn_after: float, fail_after: float) -> Finding:
    """Check the longest wait of a due delivery against *warn_after* and *fail_after*, in seconds."""
    found = stats.outbox_figures(database)
    text = f"{found.unfinished} deliveries are unfinished, {found.due} of them due"
    if found.due:
        text += f", the oldest for {found.oldest_due:.1f} s"
    level = Level.OK
    if found.oldest_due > warn_after:
        level = Level.FAILED if found.oldest_due > fail_after else Level.WARNING
    remedy = (
        "see the check of the listeners; if they run and are busy, start more of them or raise [eventalarm] "
        "workers; eventalarm-delivery list --state pending shows what is waiting"
    )
    return Finding(level, text, remedy if level is not Level.OK else "", dataclasses.asdict(found))


def check_failed(database: Database, now: datetime.datetime | None = None) -> Finding:
    """Count the dead letters; warn if a delivery was given up within the last day."""
    found = stats.failed_figures(database, (now or database.now()) - DAY)
    figures = {"failed": found.failed, "failed_within_a_day": found.recently}
    if not found.failed:
        return Finding(Level.OK, "no delivery was given up", figures=figures)
    text = f"{found.failed} deliveries were given up, {found.recently} of them within a day"
    remedy = "eventalarm-delivery list shows why; retry sends them again, purge removes them"
    return Finding(Level.WARNING if found.recently else Level.OK, text, remedy, figures)


def check_subscriptions(database: Database, lifetime: float) -> Finding:
    """Count subscriptions; warn of those that never end and of suspended ones.

    :param lifetime: [eventalarm_ifa] subscription_lifetime in seconds; 0 if subscriptions never end.
    """
    found = stats.subscription_figures(database)
    figures = dataclasses.asdict(found)
    if not found.total:
        return Finding(Level.OK, "no subscriptions", figures=figures)
    text = f"{found.total} subscriptions, {found.suspended} of them suspended"
    if not lifetime:
        return Finding(
            Level.WARNING,
            f"{text}; they never expire, not even when their users lose the right to subscribe",
            "set [eventalarm_ifa] subscription_lifetime, to a week for example",
            figures,
        )
    if found.suspended:
        remedy = "see the log of the listeners for the callbacks that do not answer"
        return Finding(Level.WARNING, text, remedy, figures)
    return Finding(Level.OK, text, figures=figures)


def check_secrets(database: Database, keys: str) -> Finding:
    """Decrypt the stored secrets; a secret that no key decrypts signs and authenticates nothing.

    :param keys: [eventalarm_ifa] credentials_key of this host.
    """
    found = stats.encrypted_secrets(database, MAX_SECRETS_CHECKED)
    if not found:
        return Finding(Level.OK, "no secrets are stored", figures={"secrets": 0})
    try:
        vault = Vault(keys)
    except InvalidOption as exc:
        return Finding(Level.FAILED, str(exc), figures={"secrets": len(found)})
    closed: list[str] = []
    for owner, text in found:
        try:
            vault.open(text)
        except InvalidOption:
            closed.append(owner)
    figures = {"secrets": len(found), "undecryptable": len(closed)}
    if not closed:
        return Finding(Level.OK, f"{len(found)} secrets can be decrypted", figures=figures)
    remedy = "add the earlier key after a comma on every host, or have the owners set new secrets"
    if not vault.usable:
        remedy = "set it to the value that the APIs have"
    text = f"[eventalarm_ifa] credentials_key decrypts {len(found) - len(closed)} of {len(found)} secrets"
    return Finding(Level.FAILED, f"{text}, not those of {named(closed)}", remedy, figures)


def check_resource_map(database: Database, stale_after: float | None) -> Finding:
    """Warn if the inspector's resource map is old: then the fault of a host may reach the wrong owners.

    :param stale_after: [eventalarm_inspector] stale_after in seconds; None if no snapshots are taken.
    """
    found = ResourceMap(database).stats()
    now = database.now()
    done = Hosts(database, now).snapshot_at()
    if not found.resources and done is None:
        return Finding(Level.OK, "empty: no eventalarm-inspector has been used")
    total = sum(found.resources.values())
    figures = {"resources": total, "hosts": found.hosts, "raised_faults": found.raised}
    text = f"{total} resources on {found.hosts} hosts; faults raised: {found.raised}"
    if stale_after is None:
        return Finding(Level.OK, f"{text}; no snapshots are taken", figures=figures)
    remedy = "start eventalarm-inspector, or see its log"
    if done is None:
        return Finding(Level.WARNING, f"{text}; no snapshot was ever complete", remedy, figures)
    age = (now - done).total_seconds()
    text = f"{text}; the last complete snapshot began {age:.0f} s ago"
    if age > stale_after:
        return Finding(Level.WARNING, text, remedy, figures)
    return Finding(Level.OK, text, figures=figures)
