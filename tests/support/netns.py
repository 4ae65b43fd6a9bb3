"""Hosts on one machine: network namespaces around a router that can drop packets without an answer.

Nothing is refused or reset: TCP connections over a dropped way stay open at both ends until these notice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import subprocess

# Networks of RFC 2544, for tests between network devices: 512 times 256 addresses.
NETWORKS = 512
OUTSIDE = "outside"


@dataclasses.dataclass(frozen=True)
class Host:
    """A network namespace with one address and a host name; *pid* is a process in it."""

    name: str
    address: str
    pid: int

    @property
    def prefix(self) -> list[str]:
        """The words that run a command on this host."""
        return ["nsenter", *(f"--{kind}=/proc/{self.pid}/ns/{kind}" for kind in ("net", "uts")), "--"]


class Network:
    """Hosts by name, and the outside, which is the namespace of the tests; ``close`` removes them.

    They vanish with this process too, once no other process is in them.

    :raises RuntimeError: if this user may not create them.
    """

    def __init__(self, *names: str) -> None:
        self._holders: list[subprocess.Popen[bytes]] = []
        self._rules: list[str] = []
        try:
            self._router = Host("router", "", self._hold("router"))
            self._ip("link set lo up")
            _run(["tee", "/proc/sys/net/ipv4/ip_forward"], self._router, "1")
            self._base, self._device = self._reserve()
            outside = self._join(Host(OUTSIDE, self._address(0), os.getpid()), self._device)
            self.hosts = {OUTSIDE: outside}
            for number, name in enumerate(names, 1):
                host = Host(name, self._address(number), self._hold(name))
                self.hosts[name] = self._join(host, f"host{number}")
        except RuntimeError:
            self.close()
            raise

    def _hold(self, name: str) -> int:
        """Return a process in a new namespace, which ends when its input closes, at the latest with us."""
        holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "sh", "-c", 'hostname "$0" && echo && exec cat', name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._holders.append(holder)
        assert holder.stdout is not None
        assert holder.stderr is not None
        if not holder.stdout.readline():
            raise RuntimeError(
                f"cannot create a network namespace: {_words(holder.stderr.read())}; run as root"
            )
        return holder.pid

    def _reserve(self) -> tuple[int, str]:
        """Return the number of a network that no other process uses, and the name of its device outside."""
        for number in random.sample(range(NETWORKS), 8):
            with contextlib.suppress(RuntimeError):
                device = f"eventalarm{number}"
                self._ip(f"link add port0 type veth peer name {device} netns {os.getpid()}")
                return number, device
        raise RuntimeError("cannot create a pair of network devices")

    def _address(self, number: int, last: int = 2) -> str:
        return f"198.{18 + self._base // 256}.{self._base % 256}.{4 * number + last}"

    def _join(self, host: Host, device: str) -> Host:
        """Connect a host with the router; its device may be there already."""
        number = len(self.hosts) if host.name != OUTSIDE else 0
        port, gateway = f"port{number}", self._address(number, 1)
        if number:
            self._ip(f"link add {port} type veth peer name {device} netns {host.pid}")
        self._ip(f"addr add {gateway}/30 dev {port}\nlink set {port} up")
        _run(
            ["ip", "-batch", "-"],
            host,
            "link set lo up\n"
            f"addr add {host.address}/30 dev {device}\n"
            f"link set {device} up\n"
            f"route add {self._address(0, 0)}/24 via {gateway}\n",
        )
        return host

    def _ip(self, commands: str) -> None:
        _run(["ip", "-batch", "-"], self._router, commands + "\n")

    def drop(self, source: str, target: str, *, from_port: int = 0, to_port: int = 0) -> None:
        """Drop from now on what one host sends to another; the other way stays open.

        With *from_port* or *to_port*, only what it sends over TCP from or to that port.
        """
        one, other = self.hosts[source], self.hosts[target]
        ports = {"sport": from_port, "dport": to_port}
        only = [f"ipproto tcp {end} {port}" for end, port in ports.items() if port]
        rule = " ".join(["from", one.address, "to", other.address, *only, "blackhole"])
        self._ip(f"rule add {rule}")
        self._rules.append(rule)

    def isolate(self, name: str, *others: str) -> None:
        """Drop everything between one host and some others, both ways."""
        for other in others:
            self.drop(name, other)
            self.drop(other, name)

    def heal(self) -> None:
        """Let everything through again."""
        self._ip("\n".join(f"rule del {rule}" for rule in self._rules))
        self._rules.clear()

    def close(self) -> None:
        """Remove all hosts; processes in them lose their network."""
        for holder in reversed(self._holders):
            assert holder.stdin is not None
            holder.stdin.close()
            holder.wait(timeout=10)


def _run(command: list[str], host: Host, text: str = "") -> None:
    if not shutil.which(command[0]):
        raise RuntimeError(f"{command[0]} is not installed: apt-get install iproute2")
    done = subprocess.run(
        [*([] if host.name == OUTSIDE else host.prefix), *command],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {_words(done.stderr)}")


def _words(output: bytes) -> str:
    return " ".join(output.decode(errors="replace").split())
