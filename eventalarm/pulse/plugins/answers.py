"""What came back from a request, and what a request that failed means. Pure."""

from __future__ import annotations

import dataclasses
import enum
import urllib.parse
from collections.abc import Mapping
from typing import Final

from eventalarm.pulse.finding import Finding, Health

#: Characters of a text from elsewhere that are shown.
SHOWN: Final = 200


class Trouble(enum.Enum):
    """Why there was no answer."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    NAME = "name"
    TLS = "tls"
    CONNECTION = "connection"
    CREDENTIALS = "credentials"
    CATALOGUE = "catalogue"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, after how many *seconds*; *text* is the start of a long body."""

    status: int
    seconds: float = 0.0
    text: str = ""
    location: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why there was no answer, after how many *seconds*; *detail* contains no secret."""

    trouble: Trouble
    detail: str = ""
    seconds: float = 0.0


_SUMMARY: Final[Mapping[Trouble, str]] = {
    Trouble.TIMEOUT: "no answer from {place} within {seconds:.1f} s",
    Trouble.REFUSED: "{place} refuses connections",
    Trouble.NAME: "the name of {place} cannot be resolved",
    Trouble.TLS: "TLS with {place} failed: {detail}",
    Trouble.CONNECTION: "the connection to {place} failed: {detail}",
    Trouble.CREDENTIALS: "Keystone refuses the credentials of the health check: {detail}",
    Trouble.CATALOGUE: "the catalogue of Keystone has no endpoint for {place}: {detail}",
}
_REMEDY: Final[Mapping[Trouble, str]] = {
    Trouble.TIMEOUT: "check the load of the service and of the database and message queue behind it, and "
    "firewalls on the way; if it always takes this long, raise [eventalarm_pulse] timeout",
    Trouble.REFUSED: "start the service, or the load balancer in front of it; or correct the address",
    Trouble.NAME: "correct the name or the DNS server of this host",
    Trouble.TLS: "renew the certificate, or name its certification authority in cafile or cacert",
    Trouble.CONNECTION: "check the log of the service, the network and the load balancer in between",
    Trouble.CREDENTIALS: "correct [service_credentials], or the cloud in clouds.yaml",
    Trouble.CATALOGUE: "create the endpoint, correct region and interface, or leave this check out",
}
# What a tenant can do about all of them.
TENANT_REMEDY: Final = "if it lasts, report it to the operator of the cloud"


def failure(target: str, place: str, what: Failure, *, host: str = "") -> Finding:
    """Return the finding of a request to *place*, a URL or an address, that was not answered."""
    values = {"place": shown_url(place), "detail": what.detail or "no detail", "seconds": what.seconds}
    return Finding(
        target=target,
        health=Health.CRITICAL,
        summary=_SUMMARY[what.trouble].format(**values),
        remedy=_REMEDY[what.trouble],
        figures={"seconds": round(what.seconds, 3)},
        host=host,
    )


_STATUS_REMEDY: Final[Mapping[int, str]] = {
    401: "check the user and the password; for an OpenStack service also its [keystone_authtoken], its "
    "clock, memcached, and that it reaches Keystone",
    403: "give the user of the health check the role that may read this, or leave this target out",
    404: "compare the URL with that of the service",
    429: "raise the rate limit for the health check, or its interval",
    500: "see the log of the service",
    502: "start the service behind the load balancer; its log says why it stopped",
    503: "start the service behind the load balancer, or see which server it considers down",
    504: "check the load of the service behind the load balancer",
}
_MEANING: Final[Mapping[int, str]] = {
    401: "401, not authenticated",
    403: "403, not allowed",
    404: "404, not found",
    429: "429, too many requests",
    500: "500, an internal error",
    502: "502, a bad gateway",
    503: "503, unavailable",
    504: "504, a gateway timeout",
}


def refusal(target: str, place: str, answer: Answer, *, host: str = "") -> Finding:
    """Return the finding of an answer that is an error or a redirect."""
    status = answer.status
    if 300 <= status < 400:
        text = f"{shown_url(place)} redirects to {shown_url(answer.location) or 'nowhere'}"
        remedy = "correct the URL, so that it names the service itself"
    else:
        text = f"{shown_url(place)} answered {_MEANING.get(status, str(status))}"
        remedy = _STATUS_REMEDY.get(status) or (
            _STATUS_REMEDY[500] if status >= 500 else "compare the URL with that of the service"
        )
    return Finding(
        target=target,
        health=Health.CRITICAL if status >= 500 or status == 401 else Health.WARNING,
        summary=text,
        remedy=remedy,
        figures={"seconds": round(answer.seconds, 3), "http_status": status},
        host=host,
    )


def unreadable(target: str, place: str, problem: str) -> Finding:
    """Return the finding of an answer that has not the expected form."""
    return Finding(
        target=target,
        health=Health.CRITICAL,
        summary=f"{shown_url(place)} answered something else than expected: {problem}"[: 2 * SHOWN],
        remedy="correct the URL; if it is right, a proxy may answer in place of the service",
    )


def shown_url(url: str) -> str:
    """Return *url* without user, password and query, which may contain secrets."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "an invalid URL"
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def host_of(url: str) -> str:
    """Return ``host:port``, or the host if there is no port, without user and password."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]


def shortened(text: str) -> str:
    """Return a text from elsewhere as one line of limited length."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."
