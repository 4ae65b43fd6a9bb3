"""Actions for Tacker: those that Tacker would refuse are rejected when the alarm is created."""

from __future__ import annotations

import pytest

from eventalarm import tacker_action

PATH = "http://tacker:9890/server_notification/vnf_instances/V/servers/{server_id}/notify"


@pytest.mark.parametrize(
    ("query", "good"),
    [
        ("", False),
        ("?fault_id=11", False),
        ("?fault_id=1111&fault_type=1", False),
        ("?fault_id=1111&fault_id=22", False),
        ("?fault_id=1111&fault_type=20", True),
        ("?fault_id=1111&fault_id=2222&host_id=c", True),
    ],
)
def test_fault_id_and_fault_type(query: str, good: bool) -> None:
    for scheme in ("tacker+", "TACKER+"):
        problem = tacker_action.problem(scheme + PATH + query)
        assert (problem == "") == good
        assert good or "fault_id=1111" in problem
    assert tacker_action.problem(PATH + query) == ""
