"""Expressions mean the same to our parser as to the one that Ceilometer uses."""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

import pytest
from ceilometer.declarative import Definition
from jsonpath_rw_ext.parser import ExtentedJsonPathParser
from ply import yacc

from eventalarm.catalogue import jsonpath

DOCUMENT = {
    "payload": {"id": "p", "list": [{"state": "error", "n": 1}, {"state": "active", "n": 2}], "a b": 3},
    "ctxt": {"user_id": "u"},
    "_context_timestamp": "2026-11-20",
}
EXPRESSIONS = [
    "payload.id",
    "(payload.user_id)|(ctxt.user_id)",
    "payload.list[*].state",
    "payload.list[?(@.state == 'error')].n",
    "payload.list[?n > 1].state",
    "payload.list[0]",
    "payload..n",
    "payload.'a b'",
    "payload.list.`len`",
    "_context_timestamp",
    "payload.missing",
]
INVALID = ["a..", "(a|", "a[?", "", "a b"]


def found(parser: Any, expression: str) -> list[tuple[str, Any]]:
    return [(str(match.full_path), match.value) for match in parser.parse(expression).find(DOCUMENT)]


def refusal(parser: Any, expression: str) -> str:
    try:
        parser.parse(expression)
    except Exception as exc:  # noqa: BLE001 - both have several kinds
        return repr(exc)
    return ""


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_finds_what_it_finds_for_ceilometer(expression: str) -> None:
    assert found(jsonpath.JsonPathParser(), expression) == found(ExtentedJsonPathParser(), expression)


@pytest.mark.parametrize("expression", INVALID)
def test_an_invalid_expression_is_refused_with_the_same_words(expression: str) -> None:
    ours = jsonpath.JsonPathParser()
    refused = refusal(ours, expression)
    assert refused == refusal(ExtentedJsonPathParser(), expression)
    assert refused
    assert found(ours, "payload.id") == [("payload.id", "p")]


def test_the_tables_are_built_once() -> None:
    with mock.patch.object(yacc, "yacc", wraps=yacc.yacc) as build:
        ours = jsonpath.JsonPathParser()
        threads = [threading.Thread(target=ours.parse, args=(one,)) for one in EXPRESSIONS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert build.call_count == 1


def test_ceilometer_uses_it_but_no_parser_of_another_is_replaced() -> None:
    other = mock.Mock()
    with mock.patch.object(Definition, "JSONPATH_RW_PARSER", ExtentedJsonPathParser()):
        jsonpath.use()
        assert isinstance(Definition.JSONPATH_RW_PARSER, jsonpath.JsonPathParser)
    with mock.patch.object(Definition, "JSONPATH_RW_PARSER", other):
        jsonpath.use()
        assert Definition.JSONPATH_RW_PARSER is other
