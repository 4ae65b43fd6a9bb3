"""The benchmarks: eventalarm compared with a floor and with stock Aodh, in one run on one machine.

``tox -e bench -- SCENARIO …`` or ``python -m benchmarks SCENARIO …``;
doc/source/admin/benchmarks.rst describes each scenario and how to read the table.
"""
