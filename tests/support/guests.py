"""Guests for tests: domains as Nova describes them, whose agents are real ``qemu-ga`` on unix sockets.

No hypervisor runs here: a directory of XML files stands in for libvirt, and ``qemu-ga`` runs on this host.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from xml.sax.saxutils import escape, quoteattr

import pytest

from tests.support.helpers import wait_until

QEMU_GA = shutil.which("qemu-ga") or shutil.which("qemu-ga", path="/usr/sbin:/sbin")
needs_qemu_ga = pytest.mark.skipif(
    QEMU_GA is None, reason="qemu-ga is missing: apt-get install qemu-guest-agent"
)
NOVA = "http://openstack.org/xmlns/libvirt/nova/"
CHANNEL = """<channel type="unix"><source mode="bind" path={path}/>
      <target type="virtio" name="org.qemu.guest_agent.0"/></channel>"""


def instance_id(name: str) -> str:
    """Return the id of the server of that name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def domain_xml(
    name: str = "vm-1",
    project: str = "project-1",
    *,
    specs: Mapping[str, str] | None = None,
    flavor: str = "m1.small",
    version: str = "1.1",
    socket_path: str | None = "/agent.sock",
    devices: str = "",
) -> str:
    """Return the XML of a domain with the metadata that Nova writes; *specs* is None before Nova 32."""
    listed = "".join(
        f"<nova:extraSpec name={quoteattr(key)}>{escape(text)}</nova:extraSpec>"
        for key, text in (specs or {}).items()
    )
    extra = f"<nova:extraSpecs>{listed}</nova:extraSpecs>" if specs is not None else ""
    channel = CHANNEL.format(path=quoteattr(socket_path)) if socket_path is not None else ""
    return f"""<domain type="qemu">
  <name>instance-{name}</name>
  <uuid>{instance_id(name)}</uuid>
  <metadata>
    <nova:instance xmlns:nova="{NOVA}{version}">
      <nova:package version="32.0.0"/>
      <nova:name>{escape(name)}</nova:name>
      <nova:creationTime>2026-11-20 23:01:36</nova:creationTime>
      <nova:flavor name={quoteattr(flavor)} id="1">
        <nova:memory>64</nova:memory>
        {extra}
      </nova:flavor>
      <nova:owner>
        <nova:user uuid="user-1">demo</nova:user>
        <nova:project uuid={quoteattr(project)}>demo</nova:project>
      </nova:owner>
    </nova:instance>
  </metadata>
  <memory unit="MiB">64</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64">hvm</type></os>
  <on_crash>destroy</on_crash>
  <devices>{devices}
    {channel}
  </devices>
</domain>
"""


class Agents:
    """Real guest agents on sockets in *folder*, and the directory of their domains."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def uri(self) -> str:
        """The value of the option ``uri``."""
        return f"dir://{self.folder}"

    def socket_of(self, name: str) -> str:
        return str(self.folder / f"{name}.sock")

    def define(self, name: str, project: str, **settings: str) -> None:
        """Write the domain of a guest that opts in with extra specs ``eventalarm:guest_NAME``."""
        specs = {f"eventalarm:guest_{key}": text for key, text in settings.items()}
        text = domain_xml(name, project, specs=specs, socket_path=self.socket_of(name))
        (self.folder / f"{name}.xml").write_text(text)

    def start(self, *names: str) -> None:
        """Start the agents of guests; return once they answer on their sockets."""
        assert QEMU_GA is not None
        for name in names:
            pathlib.Path(self.socket_of(name)).unlink(missing_ok=True)
            words = [QEMU_GA, "-m", "unix-listen", "-p", self.socket_of(name), "-t", str(self.folder)]
            words += ["-f", str(self.folder / f"{name}.pid")]
            quiet = subprocess.DEVNULL
            self._processes[name] = subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet)
        wait_until(lambda: all(pathlib.Path(self.socket_of(name)).exists() for name in names), 30, "sockets")

    def add(self, name: str, project: str, **settings: str) -> None:
        """Define a guest and start its agent."""
        self.define(name, project, **settings)
        self.start(name)

    def freeze(self, name: str) -> None:
        """Let a guest hang."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a guest go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def kill(self, name: str) -> None:
        """Kill the agent of a guest."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(10)

    def close(self) -> None:
        """End all agents."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(10)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def stand_in(path: str, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve a socket on which *answer* talks to each client: a guest agent that behaves badly."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(16)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=_talk, args=(client, answer), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def _talk(client: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    with client, contextlib.suppress(OSError):
        answer(client)


def nonsense(client: socket.socket) -> None:
    """Answer every request with what no guest agent sends."""
    while client.recv(4096):
        client.sendall(b'\xff{"return": []}\n\x00\xff\xfe[[[[\n{"error": 5}\n')


def flood(client: socket.socket) -> None:
    """Send without end."""
    while True:
        client.sendall(b"x" * 65536)


def slow_proxy(path: str, delay: float) -> Callable[[socket.socket], None]:
    """Return what passes bytes to and from the agent at *path*, each chunk late by *delay* seconds."""

    def answer(client: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(path)
            threading.Thread(target=_copy, args=(agent, client, delay), daemon=True).start()
            _copy(client, agent, 0.0)
            # The other thread still reads from it.
            agent.shutdown(socket.SHUT_RDWR)

    return answer


def _copy(source: socket.socket, target: socket.socket, delay: float) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            # The delay is what is simulated.
            time.sleep(delay)
            target.sendall(data)
