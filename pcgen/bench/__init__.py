"""Benchmarks: one command module each, run by ``pcgen bench NAME``.

Each prints a table whose rows are measured in one run, so that ratios between rows are meaningful
on a shared machine. Its docstring says what is compared with what.
"""
