"""Check ``pacemaker``: nodes, quorum and resources of the cluster that this host is part of."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import ClassVar, Final

from eventalarm.pulse.checks import CheckContext, Probe
from eventalarm.pulse.finding import Finding, Health
from eventalarm.pulse.plugins import crm_status, programs
from eventalarm.pulse.plugins.answers import shortened

TARGET: Final = "cluster"
#: How crm_mon is asked for XML: since 2.0.3, and before, where the first one is an unknown option.
FORMS: Final = (("--output-as=xml", "-1"), ("--as-xml",))


class Pacemaker:
    """One run of ``crm_mon`` on this host."""

    description: ClassVar[str] = "pacemaker has quorum, and its nodes and resources are well"
    for_tenants: ClassVar[bool] = False

    def __init__(self, context: CheckContext) -> None:
        self._context = context

    def probes(self) -> Iterable[Probe]:
        """Return the one look; none on a host without crm_mon, unless it is required."""
        options = self._context.options
        if shutil.which(options.crm_mon) is None and not options.pacemaker_required:
            return []
        return [Probe(TARGET, self._look)]

    def _look(self) -> list[Finding]:
        program = self._context.options.crm_mon
        problem = "no output"
        for form in FORMS:
            try:
                ended = programs.run([program, *form], self._context.timeout / len(FORMS))
            except OSError as exc:
                remedy = "install pacemaker-cli-utils, or set [eventalarm_pulse] pacemaker_required = False"
                return [_broken(f"{program} cannot be started: {exc.strerror or exc}", remedy)]
            if ended.late:
                return [
                    _broken(f"{program} does not end", "see whether pacemaker hangs: its log, and pcs status")
                ]
            try:
                root = crm_status.parse(ended.output)
            except crm_status.Unreadable as exc:
                problem = f"{exc}; it printed: {ended.output}"
                continue
            if without := crm_status.problem(root):
                return [_broken(f"no cluster on this host: {without}", "start it: pcs cluster start")]
            return crm_status.evaluate(root)
        return [_broken(f"{program} printed no status: {problem}", f"run it by hand: {program} -1")]


def _broken(summary: str, remedy: str) -> Finding:
    return Finding(target=TARGET, health=Health.CRITICAL, summary=shortened(summary), remedy=remedy)
