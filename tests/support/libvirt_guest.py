"""A real guest: QEMU without acceleration under a libvirtd of its own; its Linux runs only ``qemu-ga``.

The guest's system is made from the kernel, busybox and ``qemu-ga`` of this host. libvirtd serves a session:
as root for the user ``nobody``, since it would be the libvirtd of the system otherwise.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.guests import QEMU_GA, domain_xml, instance_id
from tests.support.helpers import wait_until

SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"
LIBVIRTD = shutil.which("libvirtd", path=SBIN)
BUSYBOX = shutil.which("busybox", path=SBIN)
MODULES = ("virtio_pci", "virtio_console")
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /modules/$module; done
while [ ! -e /dev/vport{port} ]; do /bin/busybox sleep 0.05; done
/bin/busybox --install -s /bin
# Not as process 1, which cannot be stopped.
/bin/qemu-ga -m virtio-serial -p /dev/vport{port} -t /run
"""
# Stops the agent for some seconds; its parent is the agent.
HANG = "kill -STOP $PPID; sleep {seconds}; kill -CONT $PPID"


def kernel() -> str:
    """Return the release of a kernel of this host whose modules are there, or an empty text."""
    releases = [path.removeprefix("/boot/vmlinuz-") for path in sorted(glob.glob("/boot/vmlinuz-*"))]
    found = (one for one in releases if os.path.exists(f"/lib/modules/{one}/modules.dep"))
    return next(found, "")


needs_libvirt = pytest.mark.skipif(
    not (
        LIBVIRTD
        and BUSYBOX
        and QEMU_GA
        and kernel()
        and shutil.which("cpio")
        and shutil.which("qemu-system-x86_64")
        and importlib.util.find_spec("libvirt")
    ),
    reason="libvirtd, QEMU, a kernel, busybox, cpio or libvirt-python is missing: see bindep.txt",
)


def build_system(folder: pathlib.Path) -> None:
    """Make ``initrd``, an initial file system for a guest, in *folder*."""
    assert QEMU_GA is not None
    assert BUSYBOX is not None
    root = folder / "root"
    for name in ("bin", "dev", "modules", "proc", "run", "var/run"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    shutil.copy(QEMU_GA, root / "bin/qemu-ga")
    linked = subprocess.run(["ldd", QEMU_GA], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"/\S+", linked):
        (root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library[1:])
    modules = _modules(root / "modules")
    (root / "init").write_text(INIT.format(modules=" ".join(modules), port="0p1"))
    (root / "init").chmod(0o755)
    with (folder / "initrd").open("wb") as out:
        names = "\n".join(str(path.relative_to(root)) for path in [root, *sorted(root.rglob("*"))])
        command = ["cpio", "--create", "--format=newc", "--quiet"]
        subprocess.run(command, input=names.encode(), stdout=out, cwd=root, check=True)


def _modules(target: pathlib.Path) -> list[str]:
    """Copy the modules that the guest needs; return their names in the order in which they are loaded."""
    folder = pathlib.Path("/lib/modules") / kernel()
    lines = (line.partition(":") for line in (folder / "modules.dep").read_text().splitlines())
    needed = {path: others.split() for path, _, others in lines}
    ordered: list[str] = []
    for module in MODULES:
        path = next(one for one in needed if pathlib.PurePath(one).name.startswith(f"{module}.ko"))
        ordered += [one for one in (*reversed(needed[path]), path) if one not in ordered]
    for one in ordered:
        shutil.copy(folder / one, target)
    return [pathlib.PurePath(one).name for one in ordered]


class LibvirtGuest:
    """A domain as Nova defines it, on a libvirtd that ends with it."""

    def __init__(self, folder: pathlib.Path, name: str, project: str, specs: Mapping[str, str]) -> None:
        import libvirt  # noqa: PLC0415

        assert LIBVIRTD is not None
        self._libvirt: Any = libvirt
        self.instance_id = instance_id(name)
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        build_system(folder)
        shutil.copy(f"/boot/vmlinuz-{kernel()}", folder / "vmlinuz")
        # The path of a socket has at most 107 characters.
        self._home = pathlib.Path(
            subprocess.check_output(["mktemp", "-d", "/tmp/guest.XXXXXX"], text=True).strip()
        )
        for one in ("vmlinuz", "initrd"):
            shutil.move(folder / one, self._home / one)
            (self._home / one).chmod(0o644)
        if user is not None:
            os.chown(self._home, user.pw_uid, user.pw_gid)
        homes = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
        with (folder / "libvirtd.log").open("wb") as log:
            self._libvirtd = subprocess.Popen(
                [LIBVIRTD, "--timeout", "60"],
                env={"PATH": SBIN, **dict.fromkeys(homes, str(self._home))},
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.uri = f"qemu:///session?socket={self._home}/libvirt/libvirt-sock"
        self._connection: Any = wait_until(self._open, 30, "libvirtd")
        self._domain = self._connection.defineXML(self._xml(name, project, specs))

    def _open(self) -> Any:
        try:
            return self._libvirt.open(self.uri)
        except self._libvirt.libvirtError:
            return None

    def _xml(self, name: str, project: str, specs: Mapping[str, str]) -> str:
        plain = domain_xml(name, project, specs=specs, socket_path=f"{self._home}/agent.sock")
        boot = (
            f'<os><type arch="x86_64" machine="q35">hvm</type><kernel>{self._home}/vmlinuz</kernel>'
            f"<initrd>{self._home}/initrd</initrd><cmdline>panic=-1 quiet</cmdline></os>"
        )
        with_kernel = re.sub("<os>.*</os>", boot, plain)
        return with_kernel.replace('<memory unit="MiB">64', '<memory unit="MiB">160')

    def start(self) -> None:
        self._domain.create()

    def suspend(self) -> None:
        self._domain.suspend()

    def resume(self) -> None:
        self._domain.resume()

    def hang(self, seconds: float) -> None:
        """Let the agent in the guest stop for some seconds."""
        import libvirt_qemu  # noqa: PLC0415

        words = f'"-c", "{HANG.format(seconds=seconds)}"'
        command = f'{{"execute": "guest-exec", "arguments": {{"path": "/bin/sh", "arg": [{words}]}}}}'
        libvirt_qemu.qemuAgentCommand(self._domain, command, 10, 0)

    def kill(self) -> None:
        """Kill QEMU."""
        os.kill(self._qemu(), signal.SIGKILL)

    def _qemu(self) -> int:
        path = next((self._home / "libvirt/qemu/run").glob("*.pid"))
        return int(path.read_text())

    def close(self) -> None:
        """End the guest and libvirtd."""
        if self._domain.isActive():
            self._domain.destroy()
        self._connection.close()
        self._libvirtd.terminate()
        self._libvirtd.wait(20)
        for path in self._home.rglob("virtlogd.pid"):
            os.kill(int(path.read_text()), signal.SIGTERM)
        shutil.rmtree(self._home, ignore_errors=True)
