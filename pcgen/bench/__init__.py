"""Benchmarks: one command module each, run by ``pcgen bench NAME``.

Each prints a table whose rows are measured in one run, so that their ratios are meaningful on a
shared machine. Its docstring, the text of ``--help``, describes the comparison.
"""
