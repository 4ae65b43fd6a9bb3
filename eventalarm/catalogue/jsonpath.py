"""A parser of JSONPath that builds its tables once, for loading event definitions quickly."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from ceilometer.declarative import Definition
from jsonpath_rw.parser import IteratorToTokenStream
from jsonpath_rw_ext.parser import ExtentedJsonPathParser
from ply import yacc

LOG = logging.getLogger(__name__)


class JsonPathParser(ExtentedJsonPathParser):
    """Ceilometer's parser of JSONPath, which accepts the same and returns the same.

    The one it extends builds the tables of its grammar again for each expression: 20 ms each, and event
    definitions have hundreds.
    """

    def __init__(self) -> None:
        super().__init__()
        # One parser holds the state of one parse.
        self._lock = threading.Lock()
        self._built: Any = None

    def parse_token_stream(self, token_iterator: Iterable[Any], start_symbol: str = "jsonpath") -> Any:
        """Return the parsed expression; called by ``parse``."""
        if start_symbol != "jsonpath":
            return super().parse_token_stream(token_iterator, start_symbol)
        with self._lock:
            if self._built is None:
                self._built = yacc.yacc(
                    module=self,
                    debug=False,
                    tabmodule="eventalarm_jsonpath_parsetab",
                    write_tables=False,
                    start=start_symbol,
                    errorlog=LOG,
                )
            return self._built.parse(lexer=IteratorToTokenStream(token_iterator))


def use() -> None:
    """Make Ceilometer's event definitions of this process use the parser, if they do not already."""
    if type(Definition.JSONPATH_RW_PARSER) is ExtentedJsonPathParser:
        Definition.JSONPATH_RW_PARSER = JsonPathParser()
