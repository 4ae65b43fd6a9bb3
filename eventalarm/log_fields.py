"""Fields of a log record beside its text, for formats such as JSON; the text has the same values.

The names are those of the API: ``alarm_id``, ``delivery_id``, ``event_id``, ``message_id``, ``project_id``,
``subscription_id``, ``user_id`` and ``destination``. doc/source/admin/logs.rst lists them.
"""

from __future__ import annotations

from typing import Any


def fields(**values: str) -> dict[str, Any]:
    """Return *values*, without those that are empty, as ``extra`` of a call of a standard logger.

    oslo.log's formatters show the attributes of a record that its ``extra_keys`` names.
    """
    found: dict[str, Any] = {name: value for name, value in values.items() if value}
    return found | {"extra_keys": sorted(found)}
