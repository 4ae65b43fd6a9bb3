"""The health checks that are installed: what they say of themselves, and what they do not import."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from importlib.metadata import entry_points

from oslo_config import cfg

from eventalarm import conf
from eventalarm.pulse.checks import NAMESPACE, CheckContext

PAGE = pathlib.Path(__file__).parents[3] / "doc/source/admin/pulse-checks.rst"
HEAVY = {"openstack", "keystoneauth1", "requests", "pymysql", "aodh", "alembic"}


def test_every_check_describes_itself_and_is_documented() -> None:
    checks = {one.name: one.load() for one in entry_points(group=NAMESPACE)}
    documented = set(re.findall(r"\* - ``(\w+)``", PAGE.read_text()))
    assert set(checks) >= {"endpoint", "rabbitmq", "command"}
    assert documented == set(checks)
    for check in checks.values():
        assert check.description
        assert "\n" not in check.description
        assert isinstance(check.for_tenants, bool)


def test_without_options_checks_look_at_nothing_but_the_cloud() -> None:
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    options([], default_config_files=[])
    options.set_override("crm_mon", "no-such-program", conf.PULSE_GROUP)
    context = CheckContext(options[conf.PULSE_GROUP], lambda: None, 1.0)
    of_cloud = {"endpoint", "nova_services", "cinder_services", "neutron_agents"}
    others = [one for one in entry_points(group=NAMESPACE) if one.name not in of_cloud]
    assert {one.name: list(one.load()(context).probes()) for one in others} == {
        one.name: [] for one in others
    }


def test_loading_every_check_imports_no_library_of_the_extra() -> None:
    modules = {one.module for one in entry_points(group=NAMESPACE)}
    program = f"import sys, {', '.join(sorted(modules))}; print(*sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""
