"""What all tests share: hypothesis finds the same examples every time, unless it is told to explore.

``--hypothesis-profile=explore`` draws new examples, ``EVENTALARM_EXAMPLES=20`` asks for twenty times as many.
"""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, print_blob=True, suppress_health_check=[]
)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci")
