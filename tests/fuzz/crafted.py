"""Files with false content whose checksums and lengths are right.

Unlike :mod:`tests.fuzz.mutations`, which damages bytes, this rewrites contents: numbers
in headers, JSON nodes, members of archives, promises of sizes and offsets, names, links.
"""

import io
import json
import re
import stat
import struct
import zipfile

import numpy as np

EVIL = "__import__('os').system('touch PWNED')"
NAMES = [
    "../../evil",
    "/etc/evil",
    "..\\..\\evil",
    "C:\\evil",
    "a\0b",
    "",
    ".",
    "x" * 5000,
    "é\udcff",
]
NUMBERS = [b"0", b"-1", b"2147483647", b"4294967296", b"18446744073709551615", b"1e308", b"-1e400",
           b"nan", b"9" * 5000, b"1e-400", b"0x7f", b"007", b"1_000", b"\xd9\xa3"]  # fmt: skip
DEEP = "[" * 3000 + "]" * 3000
DEPTHS = ['{"a":' * 3000 + "1" + "}" * 3000, DEEP]


def craft(data: bytes, suffix: str, others: list[bytes], draw: np.random.Generator) -> bytes:
    """One file made from ``data``, in a way that suits its format or in a general one."""
    ways = [_text_numbers, _integers, _swap, lambda d, r: _splice(d, others, r)]
    own = {
        ".npy": [_npy], ".npz": [_zip, _zip], ".zip": [_zip], ".pt": [_zip], ".json": [_json],
        ".jsonl": [_lines], ".safetensors": [_safetensors], ".glb": [_glb], ".ply": [_ply],
        ".h5": [_hdf5], ".obj": [_obj], ".off": [_text_numbers], ".stl": [_stl], ".csv": [_csv],
    }.get(suffix, [])  # fmt: skip
    chosen = [*ways, *own * 3]
    made = chosen[draw.integers(len(chosen))](data, draw)
    if draw.random() < 0.2:
        made = chosen[draw.integers(len(chosen))](made, draw)
    return made or b"\0"


def _one(values, draw):
    return values[int(draw.integers(len(values)))]


def _text_numbers(data, draw):
    found = list(re.finditer(rb"-?\d+(\.\d+)?(e[+-]?\d+)?", data[:100_000]))
    for match in sorted(
        {int(k) for k in draw.integers(0, max(len(found), 1), 3)}, reverse=True
    ):  # from behind, so that places stay right
        if found:
            start, stop = found[match].span()
            data = data[:start] + _one(NUMBERS, draw) + data[stop:]
    return data


def _integers(data, draw):
    copy = bytearray(data)
    for _ in range(int(draw.integers(1, 4))):
        width = int(_one([1, 2, 4, 8], draw))
        at = int(draw.integers(0, max(1, min(len(copy), 4096) - width)))
        value = _one(
            [0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1], draw
        )
        order = _one(["little", "big"], draw)
        copy[at : at + width] = int(value).to_bytes(width, order)
    return bytes(copy)


def _swap(data, draw):
    a, b, c, d = sorted(int(k) for k in draw.integers(0, len(data) + 1, 4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _splice(data, others, draw):
    other = _one(others, draw)
    cut = int(draw.integers(0, len(data) + 1))
    return data[:cut] + other[int(draw.integers(0, len(other) + 1)) :]


def _node(tree, draw):
    """Replace, remove or add one node of a JSON tree, in place if possible."""
    values = [None, True, -1, 0, 2**31, 2**63, 10**400, 1e308, -0.5, "", "x" * 9999, [], {}, [[]],
              EVIL, "../../evil", [None] * 3, {"a": 1}, ["a"] * 1000]  # fmt: skip
    places = []

    def walk(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    if isinstance(tree, dict | list):
        walk(tree)
    if not places:
        return _one(values, draw)
    node, key = _one(places, draw)
    match int(draw.integers(4)):
        case 0 | 1:
            node[key] = _one(values, draw)
        case 2:
            del node[key]
        case 3 if isinstance(node, dict):
            node[_one(NAMES, draw).replace("\udcff", "")] = node[key]
        case _:
            node.append(node[key])
    return tree


def _changed_json(data, draw):
    if draw.random() < 0.1:
        return _one(DEPTHS, draw).encode()
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return data + DEEP.encode()
    for _ in range(int(draw.integers(1, 4))):
        tree = _node(tree, draw)
    return json.dumps(tree).encode()


def _json(data, draw):
    return _changed_json(data, draw)


def _lines(data, draw):
    lines = data.splitlines() or [b""]
    at = int(draw.integers(len(lines)))
    lines[at] = _changed_json(lines[at], draw)
    return b"\n".join(lines)


def _safetensors(data, draw):
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    if draw.random() < 0.5:
        try:
            tree = json.loads(header)
            meta = tree.get("__metadata__", {}) if isinstance(tree, dict) else {}
            if isinstance(meta, dict) and "meta" in meta:
                meta["meta"] = _changed_json(meta["meta"].encode(), draw).decode()
                header = json.dumps(tree).encode()
        except (ValueError, RecursionError, AttributeError):
            pass
    else:
        header = _changed_json(header, draw)
    stated = len(header) if draw.random() < 0.9 else int(_one([0, 2**63, 10**9, 1], draw))
    return stated.to_bytes(8, "little") + header + body


def _glb(data, draw):
    length = int.from_bytes(data[12:16], "little")
    text = _changed_json(data[20 : 20 + length], draw)
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    stated = len(text) if draw.random() < 0.9 else int(_one([0, 2**32 - 1, 7], draw))
    body = struct.pack("<I", stated) + b"JSON" + text + rest
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def _npy(data, draw):
    kind = _one(["<f4", "<f8", "|O", "<U99999", "|S0", "<c16", "<M8[s]", ">f2", "|V0", "<f4,<f4",
                 "[('a','<f4')]", EVIL], draw)  # fmt: skip
    shapes = ["(2, 60, 3)", "(1099511627776, 3)", "(-1, 3)", "(0, 0, 3)", "()", "(2**40,)"]
    shapes += ["(4294967296, 4294967296, 3)", "(" + "1," * 70 + ")", EVIL, "(3, True, 3)"]
    shape = _one(shapes, draw)
    order = _one(["False", "True", "1", EVIL], draw)
    quoted = kind if kind.startswith(("[", "__")) else f"'{kind}'"
    text = f"{{'descr': {quoted}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    version = _one([b"\1\0", b"\2\0", b"\3\0", b"\x63\0"], draw)
    size = len(text).to_bytes(2 if version == b"\1\0" else 4, "little")
    start = data.find(b"\n") + 1
    return b"\x93NUMPY" + version + size + text + data[start:]


def _zip(data, draw):
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:
        return data
    buffer = io.BytesIO()
    way = int(draw.integers(9))
    target = int(draw.integers(max(1, len(members))))
    with zipfile.ZipFile(buffer, "w", int(_one([0, 8, 12, 14], draw))) as archive:
        for number, (name, content) in enumerate(members):
            info, hit = zipfile.ZipInfo(name), number == target
            if hit and way == 0:
                info.filename = _one(NAMES[:-1], draw).replace("\0", "") + name
            elif hit and way == 1:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                content = b"/etc/passwd"
            elif hit and way == 2:
                content = bytes(70 * 2**20)
                info.compress_type = 8
            elif hit and way in (3, 4):
                content = (
                    _npy(content, draw) if content[:6] == b"\x93NUMPY" else _swap(content, draw)
                )
            elif hit and way == 5:
                content = _text_numbers(content, draw)
            elif hit and way == 6:
                archive.writestr(f"again/{name}", content)
                archive.writestr(info, content)
            elif hit and way == 7:
                continue
            elif hit:
                content = b""
            archive.writestr(info, content)
        archive.comment = bytes(int(_one([0, 0, 60_000], draw)))
    made = buffer.getvalue()
    return _integers(made, draw) if draw.random() < 0.2 else made


def _ply(data, draw):
    lines = data.split(b"\n")
    end = next((k for k, line in enumerate(lines) if line.startswith(b"end_header")), 1)
    at = int(draw.integers(1, max(2, end)))
    lines[at] = _one([
        b"element vertex 99999999999", b"element face -3", b"element vertex 0", b"element x 5",
        b"property list int64 uchar vertex_indices", b"property list uchar double vertex_indices",
        b"property list float float vertex_index", b"property double x", b"property string x",
        b"format binary_big_endian 1.0", b"format ascii 9", b"comment " + b"c" * 70_000,
        b"element face 4294967295", b"property list uchar int", b"",
    ], draw)  # fmt: skip
    return b"\n".join(lines)


def _obj(data, draw):
    lines = data.split(b"\n")
    lines.insert(int(draw.integers(len(lines))), _one([
        b"f -1 -2 -3", b"f -9999999999 1 2", b"f 1//1 2//2 3//3", b"f 1/9/9 0 0", b"f 1 1 1",
        b"f " + b"1 " * 50_000, b"v 1e999 0 0", b"v nan nan nan", b"mtllib /etc/passwd",
        b"call ../../evil.obj", b"csh -c touch PWNED", b"f 99999999999999999999 1 2", b"f 1.5 2 3",
        b"v 1 2", b"usemtl \xff\xfe", b"\\", b"f 1 2 \\\n3",
    ], draw))  # fmt: skip
    return b"\n".join(lines)


def _stl(data, draw):
    count = int(_one([0, 1, 2**31, 2**32 - 1, 13], draw)).to_bytes(4, "little")
    head = _one([bytes(80), b"solid x".ljust(80), b"solid " + b"\n" * 74], draw)
    return head + count + data[84:]


def _csv(data, draw):
    cell = _one([b'"' + b"x" * 200_000, b'"a\nb"', b",,,,", b"\0", b"=1+1", b"../../x", b"\xff",
                 b"1e999", b"\r"], draw)  # fmt: skip
    cells = data.split(b",")
    cells[int(draw.integers(len(cells)))] = cell
    return b",".join(cells)


def _hdf5(data, draw):
    import h5py

    buffer = io.BytesIO()
    kind = int(draw.integers(10))
    values = np.ones((2, 40, 3), np.float32)
    with h5py.File(buffer, "w") as handle:
        handle["chair/train"] = values
        match kind:
            case 0:
                handle["far"] = h5py.ExternalLink("/etc/passwd", "/x")
            case 1:
                handle["soft"] = h5py.SoftLink("/chair/../chair")
                handle["round"] = handle["/"]
            case 2:
                handle.create_dataset("vast", (10**9, 2048, 3), "<f4", chunks=(1, 2048, 3))
            case 3:
                handle["records"] = np.zeros((2, 4, 3), [("a", "<f4"), ("b", "S9")])
            case 4:
                handle["text"] = np.array([[["a"] * 3] * 4] * 2, object).astype("S9")
            case 5:
                handle.create_dataset("empty", (0, 50, 3), "<f4")
                handle.create_dataset("none", (3, 0, 3), "<f8")
            case 6:
                handle["nan"] = np.full((2, 9, 3), np.nan)
                handle["complex"] = np.ones((2, 9, 3), complex)
            case 7:
                group = handle
                for _ in range(200):
                    group = group.create_group("deep")
                group["x"] = values
            case 8:
                handle["../../evil"] = values
                handle["train/test/val/é" + "n" * 500] = values
            case 9:
                zeros = np.zeros((9, 2048, 3), "<f4")
                options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
                handle.create_dataset("packed", data=zeros, **options)
    made = buffer.getvalue()
    return _integers(made, draw) if draw.random() < 0.6 else made
