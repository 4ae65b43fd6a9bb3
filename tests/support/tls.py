"""TLS for tests: an authority that issues certificates, and consumers that present and demand them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import pathlib
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """A certificate authority for one test run."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        self.bundle = folder / "ca.pem"
        self.bundle.write_bytes(_pem(self._sign(self.name, self.key.public_key(), ca=True)))

    def issue(self, name: str, *sans: x509.GeneralName) -> tuple[str, str]:
        """Return the files of a new certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), sans=sans)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate_file.write_bytes(_pem(certificate))
        key_file.write_bytes(private)
        return str(certificate_file), str(key_file)

    def _sign(
        self, subject: x509.Name, public_key: Any, *, ca: bool = False, sans: Sequence[x509.GeneralName] = ()
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _context(authority: Authority, client_certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("server", x509.DNSName("localhost")))
    if client_certificate:
        context.load_verify_locations(authority.bundle)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.contextmanager
def tls_server(
    authority: Authority,
    *,
    client_certificate: bool = False,
    status: Callable[[str], int] = lambda method: 200,
    body: bytes = b"",
) -> Iterator[tuple[int, list[str | None]]]:
    """A real https consumer for localhost; yields the port and a list of client names seen.

    :param client_certificate: refuse clients without a certificate of *authority*.
    :param status: the status by method.
    :param body: of every response.
    """
    context = _context(authority, client_certificate)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    seen: list[str | None] = []
    port: list[int] = []

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peercert") or {}
        seen.append(dict(pair for part in peer.get("subject", ()) for pair in part).get("commonName"))
        return web.Response(status=status(request.method), body=body)

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port.append(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
        ready.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await runner.cleanup()

    task = loop.create_task(serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(task))
    thread.start()
    assert ready.wait(10)
    try:
        yield port[0], seen
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        loop.close()
