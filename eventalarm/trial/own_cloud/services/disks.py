"""Small disks that can run full: file systems in memory, which need the right to mount."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile

MIB = 2**20


class Disk:
    """A file system of its own, which every user may enter; ``close`` removes it.

    :raises RuntimeError: if this user may not mount one.
    """

    def __init__(self, size: int) -> None:
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="disk-"))
        self._size = size
        self._mount("-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs")

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(
            ["mount", *arguments, str(self.place)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            if not os.path.ismount(self.place):
                self.place.rmdir()
            raise RuntimeError(f"cannot mount a small disk: {done.stderr.strip()}; run as root")

    def fill(self, left: int) -> None:
        """Shrink it until *left* bytes are free."""
        now = os.statvfs(self.place)
        used = (now.f_blocks - now.f_bfree) * now.f_frsize
        self._mount("-o", f"remount,size={used + left}")

    def release(self) -> None:
        """Give it its first size again."""
        self._mount("-o", f"remount,size={self._size}")

    def close(self) -> None:
        """Remove it and everything on it."""
        subprocess.run(["umount", "--lazy", str(self.place)], capture_output=True, check=False)
        self.place.rmdir()
