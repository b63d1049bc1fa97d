"""Smooth the waves of a mesh and sharpen its edges.

Normals of faces are averaged with those of their neighbours, except across sharp edges, and then
vertices move until the faces have these normals: Sun, Rosin, Martin and Langbein, "Fast and
effective feature-preserving mesh denoising" (2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.self_intersections import crossing_faces

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

FOLDED = 0.6  # cosine of a face's normal with its old one, below which it may cross others
PUT_BACK = 12  # rounds in which vertices of such faces are put back
SHARP = 0.4  # cosine of normals of neighbours across an edge, which are not averaged
TINY = 1e-30  # of lengths, in single precision
ROUNDS, MOVES = 10, 8  # of the normals, over about as many faces squared; of the vertices


def flattened(vertices: Points, faces: Faces) -> Points:
    """The vertices (V, 3) of a closed manifold, moved; faces stay as they are.

    Faces that would fold over or cross others keep their vertices, as do their neighbours.
    """
    beside = _neighbours(faces)
    vertices = vertices.astype(np.float32)  # half the time; steps are far above its precision
    normals, area = _normals(vertices, faces)
    before, start = normals, vertices
    for _ in range(ROUNDS):
        near = normals[beside]
        alike = np.maximum(np.einsum("fd,fkd->fk", normals, near) - SHARP, 0) ** 2 * area[beside]
        own = (area * (1 - SHARP) ** 2)[:, None] * normals
        normals = own + np.einsum("fk,fkd->fd", alike, near)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), TINY)
    count = np.bincount(faces.reshape(-1), minlength=len(vertices))[:, None]
    for _ in range(MOVES):
        middle = vertices[faces].mean(axis=1)
        move = np.zeros_like(vertices)
        for corner in faces.T:
            off = ((middle - vertices[corner]) * normals).sum(axis=1)[:, None] * normals
            for axis in range(3):
                move[:, axis] += np.bincount(corner, off[:, axis], minlength=len(vertices))
        vertices = vertices + move / np.maximum(count, 1)
    for _ in range(PUT_BACK):
        bad = np.flatnonzero((_normals(vertices, faces)[0] * before).sum(axis=1) < FOLDED)
        if not len(bad):
            bad = crossing_faces(vertices.astype(float), faces).reshape(-1)
        back = np.zeros(len(vertices), dtype=bool)
        back[faces[bad]] = True
        back[faces[back[faces].any(axis=1)]] = True
        if np.array_equal(vertices[back], start[back]):
            break
        vertices[back] = start[back]
    return vertices


def _neighbours(faces: Faces) -> Faces:
    """The faces (F, 3) across the edges of each."""
    ends = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=2).reshape(-1, 2)
    order = np.argsort(ends[:, 0] * (int(faces.max()) + 1) + ends[:, 1], kind="stable")
    beside = np.empty(len(ends), np.int64)
    beside[order[::2]], beside[order[1::2]] = order[1::2] // 3, order[::2] // 3
    return beside.reshape(-1, 3)


def _normals(vertices: Points, faces: Faces) -> tuple[Points, Points]:
    """Unit normals (F, 3), zero of faces without area, and twice the areas (F,)."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    area = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(area, TINY)[:, None], area
