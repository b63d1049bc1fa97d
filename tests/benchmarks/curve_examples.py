"""Scaling curves as the benchmarks print them, with simple numbers."""

LAW = {"coefficient": 50.0, "exponent": 1.0, "error": 0.0}
PREPARE = {
    "mesh": (1e-3, 1e-6, 1e-7), "bytes_per_face": 100.0, "bytes_per_point": 18.0,
    "bytes_per_shape": 200.0, "memory_per_face": 300.0, "set": LAW,
    "meshes": [{"faces": 20, "points": 64, "seconds": 0.1, "bytes": 900}],
    "sets": [{"shapes": 2, "seconds": 0.1}],
}  # fmt: skip
TRANSPORT = {
    "tolerance": 0.1, "dim": 4, "score": (0.0, 1e-11), "overhead": 2.0, "samples": LAW,
    "seconds": LAW, "scores": [{"atoms": 9, "dim": 4, "seconds": 1e-9}],
    "solves": [{"atoms": 9, "seconds": 1.0, "samples": 9, "tests": 9, "chi2": 0.01}],
}  # fmt: skip
