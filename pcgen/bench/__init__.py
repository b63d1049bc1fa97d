"""Benchmarks: one module each, a command module that ``pcgen bench NAME`` runs.

Each prints a table whose rows were measured in one run, so that ratios between rows mean something
on a shared machine, and says in its docstring what is compared with what.
"""
