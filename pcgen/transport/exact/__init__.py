"""Exact solvers: quantiles on a line, and power diagrams with Newton's method in 2D and 3D."""
