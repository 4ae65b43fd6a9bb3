"""Which actions go back to the destination that an event is about."""

from __future__ import annotations

import pytest

from eventalarm.delivery.action import masked
from eventalarm.delivery.loops import goes_back

PLACE = "https://hooks.example.org:443"
GONE = "https://hooks.example.org/v1/secret?token=1"


def body(event_type: str, **traits: object) -> dict[str, object]:
    return {"event_type": event_type, "traits": [[name, 1, value] for name, value in traits.items()]}


FAILING = body("eventalarm.destination.failing", resource_id=PLACE, destination=PLACE)


@pytest.mark.parametrize(
    ("event", "action", "back"),
    [
        (FAILING, "https://user:pw@hooks.example.org/any?token=1", True),
        (FAILING, "https://HOOKS.example.org:443/", True),
        (FAILING, "trust+https://hooks.example.org/", True),
        (FAILING, "https://hooks.example.org:8443/", False),
        (FAILING, "https://other.example.org/", False),
        (FAILING, "zaqar://?topic=a", False),
        (body("eventalarm.delivery.dead", destination=PLACE), "https://hooks.example.org/", True),
        (body("eventalarm.destination.failing", destination="zaqar://"), "zaqar://?topic=a", True),
        # One URL of the host is gone: the others are alive.
        (body("eventalarm.destination.disabled", destination=masked(GONE)), GONE, True),
        (body("eventalarm.destination.disabled", destination=masked(GONE)), f"{PLACE}/v2", False),
        # A timer of an alarm about a destination names it as its managed object only.
        (body("eventalarm.timer.clear_after", resource_id=PLACE), "https://hooks.example.org/", True),
        (body("eventalarm.timer.clear_after", resource_id="vm-1"), "https://hooks.example.org/", False),
        (body("compute.instance.update", destination=PLACE), "https://hooks.example.org/", False),
        (body("eventalarm.rule.invalid", resource_id=PLACE), "https://hooks.example.org/", False),
        (
            {"event_type": "eventalarm.destination.failing", "traits": [None, ["destination", 1, 7]]},
            "",
            False,
        ),
        ({"event_type": 7}, "https://hooks.example.org/", False),
        (None, "https://hooks.example.org/", False),
    ],
)
def test_an_action_that_goes_back_is_found(event: object, action: str, back: bool) -> None:
    assert goes_back(event, action) is back
