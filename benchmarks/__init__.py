"""The benchmarks: eventalarm beside its floor and beside stock Aodh, in one run on one machine.

``tox -e bench -- SCENARIO …`` or ``python -m benchmarks SCENARIO …``;
doc/source/admin/benchmarks.rst tells what each scenario does and how to read the table.
"""
