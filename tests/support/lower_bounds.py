"""The oldest release of each requirement that ``setup.cfg`` allows, as constraints for pip.

Run as a program it prints them; ``./run-tests --lowest`` installs them. It imports the standard library only.
"""

from __future__ import annotations

import configparser
import pathlib
import re
from collections.abc import Mapping

SETUP = pathlib.Path(__file__).parents[2] / "setup.cfg"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[\w,]+\])?>=(?P<version>[0-9][0-9.]*)")
# What the oldest releases do not say: Ceilometer imports pkg_resources, cliff an old interface of cmd2.
COMPANIONS = ("cmd2<3", "setuptools<81")


def lower_bounds(setup: pathlib.Path = SETUP) -> Mapping[str, str]:
    """Return the lower bound of every requirement, also those of the extras, by the name of the package.

    :raises ValueError: when a requirement has no lower bound, or two of them have different ones.
    """
    parser = configparser.ConfigParser()
    parser.read(setup)
    texts = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    found: dict[str, str] = {}
    for line in filter(None, (line.strip() for text in texts for line in text.splitlines())):
        match = REQUIREMENT.fullmatch(line)
        if match is None:
            raise ValueError(f"{setup.name}: {line}: must have the form NAME>=VERSION")
        name = re.sub(r"[-_.]+", "-", match["name"]).lower()
        if found.setdefault(name, match["version"]) != match["version"]:
            raise ValueError(f"{setup.name}: {name} has two lower bounds: give it one")
    return found


if __name__ == "__main__":
    print("\n".join([*(f"{name}=={version}" for name, version in lower_bounds().items()), *COMPANIONS]))
