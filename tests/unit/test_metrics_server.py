"""The pages that a listener serves beside its metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from eventalarm.metrics_server import HealthPages


def ask(pages: HealthPages, path: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    """Return status, headers and body of a request."""
    seen: list[Any] = []
    body = b"".join(pages({"PATH_INFO": path, "REQUEST_METHOD": method}, lambda *head: seen.extend(head)))
    return seen[0], dict(seen[1]), body


def metrics(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer as the application inside."""
    start_response("200 OK", [])
    return [b"metrics of " + environ["PATH_INFO"].encode()]


@pytest.mark.parametrize(
    ("problem", "status", "text"),
    [
        ("", "200 OK", b"ok\n"),
        ("worker process 0: no progress", "503 Service Unavailable", b"worker process 0: no progress\n"),
    ],
)
def test_a_page_answers_with_its_problem(problem: str, status: str, text: bytes) -> None:
    pages = HealthPages(metrics, {"/healthz": lambda: problem})
    found, headers, body = ask(pages, "/healthz")
    assert (found, body) == (status, text)
    assert headers == {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(text))}
    assert ask(pages, "/healthz", "HEAD") == (status, headers, b"")


@pytest.mark.parametrize("path", ["/metrics", "/", "/healthz/", "/readyz", ""])
def test_other_paths_are_those_of_the_application_inside_and_run_no_check(path: str) -> None:
    asked: list[str] = []
    pages = HealthPages(metrics, {"/healthz": lambda: asked.append("x") or ""})  # type: ignore[func-returns-value]
    assert ask(pages, path)[2] == b"metrics of " + path.encode()
    assert asked == []


def test_each_request_runs_the_check_of_its_page_again() -> None:
    problems = iter(["the broker", ""])
    pages = HealthPages(metrics, {"/readyz": lambda: next(problems)})
    assert [ask(pages, "/readyz")[0][:3] for _ in range(2)] == ["503", "200"]
