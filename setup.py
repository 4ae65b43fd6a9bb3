"""Build equal sdists of a commit; everything else is in ``setup.cfg`` and ``pyproject.toml``."""

from __future__ import annotations

import gzip
import os
import pathlib
import tarfile
from typing import Any

from setuptools import setup
from setuptools.command.sdist import sdist


class ReproducibleSdist(sdist):
    """Writes neither times, owners nor the umask of the build into the archive.

    The time of every file is ``SOURCE_DATE_EPOCH`` (seconds since 1970), as in the wheel; without it the
    archive is the one that setuptools makes.
    """

    def make_archive(
        self, base_name: Any, format: Any, root_dir: Any = None, base_dir: Any = None, **kw: Any
    ) -> str:
        """Return the path of the archive of *base_dir*, relative to the current directory."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if format != "gztar" or not epoch:
            return str(super().make_archive(base_name, format, root_dir, base_dir, **kw))

        def normalized(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.mtime = int(epoch)
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        target = pathlib.Path(f"{base_name}.tar.gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            target.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=int(epoch)) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=normalized)
        return str(target)


setup(cmdclass={"sdist": ReproducibleSdist})
