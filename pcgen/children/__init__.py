"""Children of training shapes: new shapes by optimal transport between two existing ones.

The input is the training clouds with their categories; the output is any number of children. A
shape A and a partner B of its category are stretched to one box and matched point to point by
optimal transport, a map T. A child moves part of A to B and leaves the rest unchanged,

    x ↦ (1 − m(x)) x + m(x) T(x)   with a smooth mask 0 ≤ m ≤ 1,

and keeps the mirror symmetries that A and B share. It has proportions between those of A and B;
where many shapes of the set have the same ones, half of the children have those of A. A constant m
gives McCann's displacement interpolation; here each point moves along its geodesic for its own
time, so parts stay connected. Maps match few points; the other points of A and B move as the
matched ones around them do.

* :mod:`frames` - the box, and the cube in which proportions are taken out;
* :mod:`partners` - which shapes are matched with which;
* :mod:`matching` - one map between two clouds;
* :mod:`planning` - the maps of a set: planned within a budget, computed in processes, kept on
  disk (:mod:`map_files`);
* :mod:`maps` - maps between the shapes of a set (:mod:`clouds`), and children from them;
* :mod:`masks` - which part of a shape a child takes from its partner;
* :mod:`drawing` - children of maps, in batches;
* :mod:`rule` - how far children go from their parents: until they are as novel as training shapes
  are relative to each other; and which are left out, as they are too far from all shapes.

Sources: R. McCann, A convexity principle for interacting gases, Advances in Mathematics 128
(1997), for displacement interpolation; the maps start from a binary space partition of both
clouds, as in BSP-OT (B. Genest, N. Bonneel et al., 2025).
"""

from pcgen.children.drawing import BlendSettings, Children
from pcgen.children.maps import Maps
from pcgen.children.planning import MapSettings, build_maps
from pcgen.children.rule import Choice

__all__ = ["BlendSettings", "Children", "Choice", "MapSettings", "Maps", "build_maps"]
