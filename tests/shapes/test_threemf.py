"""3MF of other programs: a box of 2 × 3 × 4 with a corner at the origin, placed by the file."""

import io
import zipfile

import numpy as np
import pytest
import trimesh

from pcgen.errors import MeshError
from pcgen.shapes.formats.threemf import read_3mf
from pcgen.shapes.mesh_files import Mesh, face_areas
from pcgen.shapes.plan import make_plan
from pcgen.shapes.reading import open_bytes, read_mesh
from pcgen.shapes.threemf import write_3mf

BOX = trimesh.creation.box((2, 3, 4)).apply_translation([1, 1.5, 2])
CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
LATTICE = "http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"
TURNED = "0 1 0 -1 0 0 0 0 1 10 0 0"  # x to y, y to -x, then 10 along x


def mesh_of(scale=1.0):
    corners = "".join('<vertex x="{}" y="{}" z="{}"/>'.format(*v) for v in BOX.vertices * scale)
    sides = "".join('<triangle v1="{}" v2="{}" v3="{}"/>'.format(*f) for f in BOX.faces)
    vertices = f"<vertices>{corners}</vertices>"
    return f"<mesh>{vertices}<triangles>{sides}</triangles></mesh>"


def thing(number, content="", kind="model"):
    return f'<object id="{number}" type="{kind}">{content or mesh_of()}</object>'


def parts(*rows):
    return "<components>" + "".join(f"<component {row}/>" for row in rows) + "</components>"


def model(objects, items, attributes=""):
    build = "".join(f"<item {row}/>" for row in items)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><model {attributes} xmlns="{CORE}" '
        f'xmlns:p="{PRODUCTION}" xmlns:b="{LATTICE}"><resources>{"".join(objects)}</resources>'
        f"<build>{build}</build></model>"
    )


def package(text, **others):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("3D/3dmodel.model", text)
        for name, other in others.items():
            archive.writestr(f"3D/Objects/{name}.model", other)
    return content.getvalue()


def measures(data):
    found = open_bytes(data, ".3mf").shape
    a, b, c = found.triangles().transpose(1, 0, 2)
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    return [*found.vertices.min(0), *found.vertices.max(0), face_areas(found).sum(), volume]


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("micron", 0.001), ("millimeter", 1), ("centimeter", 10), ("inch", 25.4), ("foot", 304.8),
     ("meter", 1000)],
)  # fmt: skip
def test_every_unit_is_read_in_millimetres(unit, factor):
    data = package(model([thing(1)], ['objectid="1"'], f'unit="{unit}"'))
    sides = np.array([0, 0, 0, 2, 3, 4]) * factor
    assert np.allclose(measures(data), [*sides, 52 * factor**2, 24 * factor**3])
    note = (f"its unit is the {unit}; it is read in millimetres",)
    assert read_3mf(data).notes == (() if factor == 1 else note)


def test_components_and_items_place_objects_by_their_transforms():
    inner = thing(2, parts(f'objectid="1" transform="{TURNED}"', 'objectid="1"'))
    data = package(model([thing(1), inner], ['objectid="2" transform="1 0 0 0 1 0 0 0 2 0 0 100"']))
    # The turned box spans x in 7..10 and y in 0..2; both are twice as high, and 100 above.
    assert np.allclose(measures(data), [0, 0, 100, 10, 3, 108, 2 * (12 + 40 + 40), 96])
    pytest.importorskip("lxml")  # of trimesh
    other = trimesh.load(io.BytesIO(data), file_type="3mf").to_mesh()
    found = read_mesh(data, suffix=".3mf")
    ours = trimesh.Trimesh(found.vertices, found.faces)
    assert np.allclose(other.bounds, ours.bounds)
    assert np.allclose([other.area, other.volume], [ours.area, ours.volume])


def test_a_mirrored_item_keeps_its_outside_outside():
    data = package(model([thing(1)], ['objectid="1" transform="-1 0 0 0 1 0 0 0 1 0 0 0"']))
    assert np.allclose(measures(data), [-2, 0, 0, 0, 3, 4, 52, 24])


def test_objects_of_other_parts_may_have_equal_numbers():
    # Projects of slicers have a file per object, and their ids repeat; trimesh confuses them.
    small, large = (model([thing(1, mesh_of(k)), thing(2, mesh_of(7))], []) for k in (1, 2))
    whole = thing(
        9,
        parts(
            'p:path="/3D/Objects/a.model" objectid="1"',
            'p:path="/3D/Objects/b.model" objectid="1" transform="1 0 0 0 1 0 0 0 1 10 0 0"',
        ),
    )
    text = model([whole], ['objectid="9"'], 'requiredextensions="p"')
    assert np.allclose(measures(package(text, a=small, b=large)), [0, 0, 0, 14, 6, 8, 260, 216])


def test_what_is_no_part_of_the_shape_is_told():
    objects = [thing(1), thing(2, kind="support"), thing(3, mesh_of(5))]
    data = package(model(objects, ['objectid="1"', 'objectid="2"']))
    assert np.allclose(measures(data), [0, 0, 0, 2, 3, 4, 52, 24])  # 3 is in no item
    assert read_3mf(data).notes == ("1 objects are for support or other purposes; left out",)
    beams = mesh_of().replace("</mesh>", "<b:beamlattice/></mesh>")
    data = package(model([thing(1, beams)], ['objectid="1"']))
    assert read_3mf(data).notes == (f"elements of {LATTICE} are not understood",)


LOOP = [thing(1, parts('objectid="2"')), thing(2, parts('objectid="1"'))]
DOUBLING = [thing(1)] + [thing(k, parts(*[f'objectid="{k - 1}"'] * 2)) for k in range(2, 40)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nothing", "not a readable 3MF file"),
        (package("<model"), "not a readable 3MF file"),
        (package("<?xml version=\"1.0\" encoding=\"UTFU8\"?><model/>"), "unknown encoding"),
        (package(model([], [])).replace(b"3dmodel", b"4dmodel"), "which is not in it"),
        (package("<!DOCTYPE x>" + model([thing(1)], ['objectid="1"'])), "DOCTYPE"),
        (package(model([thing(1)], [])), "1 objects, and its build section places none"),
        (package(model([thing(1)], ['objectid="7"'])), "no object '7'"),
        (package(model([thing(1)], ['objectid="1"'], 'unit="parsec"')), "unit 'parsec' is none"),
        (package(model([thing(1)], ['objectid="1"'], 'requiredextensions="b"')), "beamlattice"),
        (package(model(LOOP, ['objectid="1"'])), "contain themselves"),
        (package(model(DOUBLING, ['objectid="39"'])), "too many to read"),
        (package(model([thing(1).replace('v1="1"', 'v1="8"')], ['objectid="1"'])), "range"),
        (package(model([thing(1).replace('v1="1"', "")], ['objectid="1"'])), "not a readable"),
        (package(model([thing(1)], ['objectid="1" transform="1 0"'])), "not a readable 3MF"),
        (package(model([thing(1, parts('p:path="/x.model" objectid="1"'))], ['objectid="1"'])),
         "refers to /x.model, which is not in it"),
    ],
)  # fmt: skip
def test_a_faulty_3mf_file_is_refused_with_its_reason(data, reason):
    with pytest.raises(MeshError, match=reason):
        read_3mf(data)


def test_a_shape_far_away_keeps_its_digits():
    far = Mesh(np.asarray(BOX.vertices) * 1e-3 + [500_000, 5_400_000, 100], np.asarray(BOX.faces))
    found = read_mesh(write_3mf(far), suffix=".3mf")
    assert np.allclose(found.vertices, far.vertices, rtol=0, atol=1e-8)


def test_3mf_files_are_shapes_of_a_set(tmp_path):
    (tmp_path / "a.3MF").write_bytes(package(model([thing(1)], ['objectid="1"'])))
    assert [item.entry.path for item in make_plan(tmp_path).items] == ["a.3MF"]


def test_modifiers_of_slicers_are_told():
    # BambuStudio calls them "other", PrusaSlicer lists them in a table.
    whole = thing(3, parts('objectid="1"', 'objectid="2"'))
    bambu = package(model([thing(1), thing(2, kind="other"), whole], ['objectid="3"']))
    assert measures(bambu)[-1] == pytest.approx(24)
    assert read_3mf(bambu).notes == ("1 objects are for support or other purposes; left out",)
    content = io.BytesIO(package(model([thing(1)], ['objectid="1"'])))
    with zipfile.ZipFile(content, "a") as archive:
        entry = '<metadata type="volume" key="modifier" value="1"/>'
        archive.writestr("Metadata/Slic3r_PE_model.config", f"<config>{entry}</config>")
    notes = ("1 parts are modifiers of the slicer; read like the others",)
    assert read_3mf(content.getvalue()).notes == notes
