"""Check ``command``: programs that follow the rules of Nagios plugins."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from eventalarm.exceptions import InvalidOption
from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins import nagios, programs


class Commands:
    """Each configured program once."""

    description: ClassVar[str] = "programs with the exit codes of Nagios plugins succeed"
    for_tenants: ClassVar[bool] = False

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return one probe for each program.

        :raises InvalidOption: when one cannot be read, or two have the same name.
        """
        found = [nagios.command(text, self._context.timeout) for text in self._context.options.commands]
        names = [one.name for one in found]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidOption(nagios.OPTION, f"two are named {', '.join(twice)}", "rename one of them")
        return [Probe(one.name, partial(look, one), one.timeout) for one in found]


def look(one: nagios.Command) -> list[Finding]:
    """Run one program and return what it found."""
    try:
        ended = programs.run(one.words, one.timeout)
    except OSError as exc:
        return [_not_started(one, exc)]
    return [nagios.evaluate(one, ended.code, ended.output, ended.seconds, ended.late)]


def _not_started(one: nagios.Command, error: OSError) -> Finding:
    return Finding(
        target=one.name,
        health=Health.UNKNOWN,
        summary=f"{one.words[0]} cannot be started: {error.strerror or error}",
        remedy=f"correct the command line of {one.name} in {nagios.OPTION}; no shell reads it",
        project_id=one.project_id,
        host=one.host,
    )
