"""A CUDA device that is not there: numbers of the CPU under CUDA's rules about devices.

:func:`install` comes before anything imports torch. It then gives

* a device guard for two CUDA devices (``guard.cpp``, compiled once for each torch);
* ``Dev``, a tensor on ``cuda:k`` whose numbers are a CPU tensor, or a meta tensor for shapes alone;
* ``Device``, a mode that runs every operator on those numbers. It writes down, as *faults*,
  what CUDA would refuse: tensors on several devices, a CPU generator for a device tensor, numpy of
  a device tensor, a CPU tensor indexed by a device tensor, an address given to code of the host. It
  counts what costs time: synchronisations, copies, kernels, bytes and FLOP.

Left out: CUDA's rounding, its allocator, asynchronous errors, NCCL, and KeOps (a stand-in is in
``keops_stand_in.py``). FakeTensorMode, which torch has for this, aborts in the backward pass of a
CPU build.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SOURCE = HERE / "guard.cpp"

torch: Any = None  # set by install(), like the two classes
Dev: Any = None
Device: Any = None
active: Any = None  # the mode that is entered


def install() -> None:
    """Make the device.

    Raises:
        RuntimeError: torch is imported already, or the guard cannot be compiled.
    """
    global torch, Dev, Device
    if "torch" in sys.modules:
        raise RuntimeError("the device must be installed before torch is imported")
    ctypes.CDLL(str(_library()), mode=ctypes.RTLD_GLOBAL)
    import torch as loaded

    torch = loaded
    Dev, Device = _classes()
    Dev.__qualname__ = Dev.__name__  # so that it can be pickled
    _keep_operators_whole()


def compiler() -> str:
    return os.environ.get("CXX", "g++")


def _library() -> Path:
    """The guard, compiled for the torch of this interpreter."""
    from pcgen.files import cache_folder

    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    # The library names the folder of torch.
    texts = (SOURCE.read_text(), (root / "version.py").read_text(), sys.version, str(root))
    path = (
        cache_folder("tests")
        / f"guard-{hashlib.sha256(''.join(texts).encode()).hexdigest()[:12]}.so"
    )
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    complaint = ""
    for standard in ("c++20", "c++17"):
        made = path.with_suffix(f".{os.getpid()}")
        command = [compiler(), f"-std={standard}", "-O0", "-fPIC", "-shared", f"-I{root}/include"]
        command += [str(SOURCE), "-o", str(made), f"-L{root}/lib", "-ltorch_cpu", "-lc10"]
        done = subprocess.run(
            [*command, f"-Wl,-rpath,{root}/lib"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            made.rename(path)
            return path
        complaint = done.stderr[:2000]
    raise RuntimeError(f"the device guard does not compile: {complaint}")


def _keep_operators_whole() -> None:
    """Let operators that have a CUDA kernel reach the mode whole.

    A CPU build would take them apart (silu_backward into six), as it has no such kernel.
    """
    table = (
        Path(torch.__file__).parent.parent / "torchgen/packaged/ATen/native/native_functions.yaml"
    )
    if not table.exists():
        return
    library = torch.library.Library("aten", "IMPL", "CUDA")
    globals()["_kept"] = library  # its registrations end with it
    entries = {e.split("(", 1)[0]: e for e in table.read_text().split("\n- func: ")[1:]}

    def keys_of(entry: str) -> set[str]:
        found = re.findall(r"^    ([\w, ]+):", entry, re.M)
        return {part.strip() for key in found for part in key.split(",")}

    for name, entry in entries.items():
        delegate = re.search(r"structured_delegate: (\S+)", entry)
        keys = keys_of(entry) | (keys_of(entries[delegate.group(1)]) if delegate else set())
        if "CompositeImplicitAutograd" in keys and "CUDA" in keys:

            def kernel(*args: Any, _name: str = name, **kwargs: Any) -> None:
                raise RuntimeError(f"{_name} on a simulated tensor outside the simulation")

            library.impl(name, kernel)


def where() -> str:
    """The innermost line of pcgen that is running: file:line."""
    frame: Any = sys._getframe(1)
    package = str(ROOT / "pcgen") + os.sep
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(package):
            return f"{os.path.relpath(name, ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    main = threading.current_thread() is threading.main_thread()
    return "(tests)" if main else "(backward)"


# Operators that may meet tensors of several devices, as they move one to the other.
MOVING = {"copy_", "_to_copy", "set_", "_local_scalar_dense", "detach", "lift_fresh"}
# The size of their result depends on the data, which the host therefore waits for.
DATA_DEPENDENT = {
    "nonzero", "_unique2", "unique_dim", "unique_consecutive", "masked_select", "bincount",
    "repeat_interleave", "equal", "is_nonzero",
}  # fmt: skip
RESHAPING = {"squeeze_", "unsqueeze_", "t_", "transpose_", "as_strided_", "resize_", "resize_as_"}
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
# These take a CPU scalar beside device tensors, as all pointwise operators do.
POINTWISE = {
    "where", "lerp", "lerp_", "clamp", "clamp_", "masked_fill", "masked_fill_", "addcmul",
    "addcdiv", "index_fill_", "copysign", "fill_", "fill", "div", "mul", "add", "sub",
}  # fmt: skip
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "addr"}
# Of no kernel: views, and memory that is taken and not filled.
FREE = {
    "detach", "alias", "_unsafe_view", "lift_fresh", "empty", "empty_like", "new_empty",
    "empty_strided", "new_empty_strided",
}  # fmt: skip


def _index(index: Any, device: Any) -> Any:
    """Lists and arrays as the tensors on the device that CUDA makes of them."""
    if isinstance(index, tuple):
        return tuple(_index(part, device) for part in index)
    if isinstance(index, list) or type(index).__module__ == "numpy":
        found = torch.as_tensor(index)
        return found.to(device) if found.ndim else index
    return index


def _above(make: Callable[..., Any]) -> Callable[..., Any]:
    """``torch.tensor`` and its like move a CPU tensor below the dispatcher; here above it."""

    def made(data: Any, *args: Any, device: Any = None, **options: Any) -> Any:
        if device is None or torch.device(device).type != "cuda":
            return make(data, *args, device=device, **options)
        if isinstance(data, torch.Tensor):
            return data.to(device, **options)
        return make(data, *args, **options).to(device)

    return made


def _classes() -> tuple[Any, Any]:
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

    Generator = torch._C.Generator
    generators: dict[int, Any] = {}

    class SimulatedGenerator(Generator):  # type: ignore[misc, valid-type]
        """A generator that says it is on a device; its numbers are a CPU generator's."""

        def __new__(cls, device: Any = "cpu") -> Any:
            self = super().__new__(cls)
            home = torch.device(device)
            if home.type == "cuda" and home.index is None:
                home = torch.device("cuda", 0)
            self._home = generators[self._cdata] = home
            return self

        def __init__(self, device: Any = "cpu") -> None:
            pass

        def __del__(self) -> None:
            generators.pop(self._cdata, None)

        @property
        def device(self) -> Any:
            return self._home

    class Dev(torch.Tensor):  # type: ignore[misc, name-defined]
        inner: Any

        @staticmethod
        def __new__(cls: Any, inner: Any, index: int = 0) -> Any:
            made = torch.Tensor._make_wrapper_subclass(
                cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(),
                dtype=inner.dtype, layout=inner.layout, device=torch.device("cuda", index),
            )  # fmt: skip
            made.inner = inner
            return made

        __torch_function__ = torch._C._disabled_torch_function_impl

        @classmethod
        def __torch_dispatch__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if active is None:
                raise RuntimeError(f"{func} on a simulated tensor outside the simulation")
            with active:
                return func(*args, **(kwargs or {}))

        def numpy(self, *, force: bool = False) -> Any:
            if not force:
                active.fault("numpy", f"can't convert {self.device} device type tensor to numpy")
            return self.detach().inner.numpy()

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            active.fault("numpy", f"can't convert {self.device} device type tensor to numpy")
            found = self.detach().inner.numpy()
            return found if dtype is None else found.astype(dtype)

        def __getitem__(self, index: Any) -> Any:
            return super().__getitem__(_index(index, self.device))

        def __setitem__(self, index: Any, value: Any) -> Any:
            return super().__setitem__(_index(index, self.device), value)

        def new_tensor(
            self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
        ) -> Any:
            made = torch.tensor(data, dtype=dtype or self.dtype).to(device or self.device)
            return made.requires_grad_(requires_grad)

        def tolist(self) -> Any:
            active.sync("tolist")
            return self.inner.tolist()

        def data_ptr(self) -> Any:
            active.fault("address", "a device address is given to code that runs on the host")
            return self.inner.data_ptr()

        def __deepcopy__(self, memo: Any) -> Any:
            if id(self) in memo:
                return memo[id(self)]
            with torch.no_grad():
                copy = self.detach().clone()
            copy.requires_grad_(self.requires_grad)
            if getattr(self, "_is_param", False):
                copy._is_param = True
            memo[id(self)] = copy
            return copy

        def __reduce_ex__(self, protocol: Any) -> Any:
            active.fault("pickle", "a device tensor is pickled for another process")
            return (Dev, (self.inner, self.device.index))

        def __repr__(self, **_: Any) -> str:
            return f"Dev({self.inner!r}, device='{self.device}')"

    class Device(TorchDispatchMode):  # type: ignore[misc]
        """The rules.

        Attributes:
            faults: (kind, message, line) of what CUDA would have refused.
            syncs, copies, by_operator: how often, by line, by line and by operator.
            pageable: copies to the device from memory that is not pinned, which wait.
            kernels, bytes, flop: in all; launches: (operator, FLOP, bytes, line) of each.
        """

        def __init__(self, *, shapes_only: bool = False) -> None:
            super().__init__()
            self.shapes_only = shapes_only
            self.faults: list[tuple[str, str, str]] = []
            self.reset()

        def reset(self) -> None:
            """Forget all counts; faults stay."""
            self.kernels = self.bytes = self.flop = self.moved_bytes = 0
            self.by_operator: collections.Counter[str] = collections.Counter()
            self.syncs: collections.Counter[str] = collections.Counter()
            self.copies: collections.Counter[str] = collections.Counter()
            self.pageable: collections.Counter[str] = collections.Counter()
            self.launches: list[tuple[str, int, int, str]] = []
            self.host_seconds: collections.Counter[str] = collections.Counter()

        def fault(self, kind: str, message: str) -> None:
            self.faults.append((kind, message, where()))

        def sync(self, what: str) -> None:
            self.syncs[f"{what} at {where()}"] += 1

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            flat, spec = tree_flatten((args, kwargs))
            devs = [a for a in flat if isinstance(a, Dev)]
            asked = kwargs.get("device")
            asked = None if asked is None else torch.device(asked)
            name = func.overloadpacket.__name__
            self._check_generators(func, flat, devs, asked)
            if not devs and (asked is None or asked.type != "cuda"):
                begun = time.process_time()
                out = func(*args, **kwargs)
                self.host_seconds[where()] += time.process_time() - begun
                return out
            target = _target(name, flat, devs, asked)
            self._check_devices(func, name, args, flat, devs)
            self._count_waits(name, args)
            if self.shapes_only and name == "_local_scalar_dense":
                return 1.0 if devs[0].dtype.is_floating_point else 1
            inner = "meta" if self.shapes_only else "cpu"
            plain = [self._plain(a, target) for a in flat]
            plain_args, plain_kwargs = tree_unflatten(plain, spec)
            if asked is not None:
                plain_kwargs["device"] = torch.device(inner if target.type == "cuda" else "cpu")
                plain_kwargs.pop("pin_memory", None)
            if self.shapes_only and target.type == "cuda" and "generator" in plain_kwargs:
                plain_kwargs["generator"] = None
            if name == "_to_copy" and self.shapes_only and target.type == "cpu":
                out = torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
            else:
                out = func(*plain_args, **plain_kwargs)
            back = {id(p): a for p, a in zip(plain, flat, strict=True) if isinstance(a, Dev)}

            def wrapped(o: Any) -> Any:
                if not isinstance(o, torch.Tensor) or isinstance(o, Dev):
                    return o
                if id(o) in back:
                    return back[id(o)]
                return Dev(o, target.index or 0) if target.type == "cuda" else o

            result = tree_map(wrapped, out)
            for a in devs if name in RESHAPING else ():
                if a.shape != a.inner.shape or a.stride() != a.inner.stride():
                    a.data = Dev(a.inner, a.device.index)
            self._count_work(func, name, flat, result, target, bool(kwargs.get("non_blocking")))
            return result

        def _plain(self, a: Any, target: Any) -> Any:
            if isinstance(a, Dev):
                return a.inner
            if not isinstance(a, torch.Tensor) or not self.shapes_only:
                return a
            return a.to("meta") if target.type == "cuda" and a.device.type == "cpu" else a

        def _check_generators(self, func: Any, flat: Any, devs: Any, asked: Any) -> None:
            for a in flat:
                if not isinstance(a, Generator):
                    continue
                home = getattr(a, "_home", None) or generators.get(a._cdata, torch.device("cpu"))
                on = asked or (devs[0].device if devs else torch.device("cpu"))
                if on.type != "meta" and home.type != on.type:
                    self.fault(
                        "generator",
                        f"{func}: expected a '{on.type}' device type for generator but found "
                        f"'{home.type}'",
                    )

        def _check_devices(self, func: Any, name: str, args: Any, flat: Any, devs: Any) -> None:
            if name in MOVING:
                return
            homes = {d.device for d in devs}
            if len(homes) > 1:
                self.fault("two devices", f"{func}: tensors on {sorted(map(str, homes))}")
            if name in PRODUCTS and not devs[0].dtype.is_floating_point:
                self.fault("not on CUDA", f"{func}: not implemented for {devs[0].dtype}")
            others = [
                a for a in flat
                if isinstance(a, torch.Tensor) and not isinstance(a, Dev) and a.device.type == "cpu"
            ]  # fmt: skip
            if not others:
                return
            if name in INDEXING:
                self._check_index(func, name, args)
                return
            pointwise = torch.Tag.pointwise in func.tags or name in POINTWISE
            if (pointwise or name.startswith("_foreach")) and all(a.ndim == 0 for a in others):
                return
            self.fault(
                "two devices",
                f"{func}: expected all tensors on one device, found {devs[0].device} and cpu "
                f"{[tuple(a.shape) for a in others]}",
            )

        def _check_index(self, func: Any, name: str, args: Any) -> None:
            own, indices = args[0], [i for i in args[1] if i is not None]
            for i in indices:
                if isinstance(i, Dev) and not isinstance(own, Dev):
                    self.fault("index", f"{func}: indices of a CPU tensor must be on the CPU")
                elif isinstance(own, Dev) and not isinstance(i, Dev):
                    self.pageable[f"index at {where()}"] += 1
                    self.copies[f"index at {where()}"] += 1
                    self.sync("index on the CPU")
            if name != "index" and len(args) > 2:
                value = args[2]
                if isinstance(value, Dev) != isinstance(own, Dev) and value.ndim:
                    self.fault("two devices", f"{func}: values on another device than self")

        def _count_waits(self, name: str, args: Any) -> None:
            if name == "_local_scalar_dense":
                self.sync("item")
            elif name in DATA_DEPENDENT:
                self.sync(name)
            elif name in ("index", "index_put_") and any(
                isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in args[1]
            ):
                self.sync("boolean index")

        def _count_work(
            self, func: Any, name: str, flat: Any, result: Any, target: Any, behind: bool
        ) -> None:
            tensors = [a for a in flat if isinstance(a, torch.Tensor)]
            if name in ("_to_copy", "copy_"):
                a = tensors[-1] if name == "copy_" else tensors[0]
                if not isinstance(a, Dev) and target.type == "cuda":
                    self.copies[where()] += 1
                    self.moved_bytes += a.numel() * a.element_size()
                    if not (behind and a.is_pinned()):
                        self.pageable[where()] += 1
                    return
                if isinstance(a, Dev) and target.type != "cuda":
                    self.copies[f"back at {where()}"] += 1
                    self.moved_bytes += a.numel() * a.element_size()
                    self.sync("copy to the CPU")
                    return
            if target.type != "cuda" or name == "_local_scalar_dense":
                return
            if func.is_view or name in FREE:
                return
            self.kernels += 1
            self.by_operator[str(func)] += 1
            outs = [o for o in tree_flatten(result)[0] if isinstance(o, torch.Tensor)]
            moved = sum(_touched(t) for t in {id(t): t for t in (*tensors, *outs)}.values())
            if name.endswith("_") and not name.startswith("_"):
                moved += _touched(tensors[0])  # read and written
            flop = _flop(name, tensors, outs)
            self.flop += flop
            self.bytes += moved
            self.launches.append((name, flop, moved, where()))

        def __enter__(self) -> Any:
            global active
            self._before, active = active, self
            return super().__enter__()

        def __exit__(self, *rest: Any) -> Any:
            global active
            active = self._before
            return super().__exit__(*rest)

    _patch_torch(Dev, SimulatedGenerator)
    return Dev, Device


def _target(name: str, flat: Any, devs: Any, asked: Any) -> Any:
    """Where the result of an operator is."""
    if asked is not None:
        bare = asked.type == "cuda" and asked.index is None
        return torch.device("cuda", _current[0]) if bare else asked
    if name in ("copy_", "index_put_", "set_"):
        return flat[0].device
    if name == "index" and flat[0].device.type != "cuda":
        return flat[0].device
    return devs[0].device if devs else torch.device("cpu")


def _touched(t: Any) -> int:
    """Bytes of the memory that is read: an expanded dimension counts once."""
    count = 1
    for length, stride in zip(t.shape, t.stride(), strict=True):
        count *= length if stride else 1
    return count * t.element_size()


def _flop(name: str, tensors: Any, outs: Any) -> int:
    if name in ("mm", "bmm"):
        return 2 * outs[0].numel() * tensors[0].shape[-1]
    if name in ("addmm", "baddbmm"):
        return 2 * outs[0].numel() * tensors[1].shape[-1]
    if name in ("mv", "addmv"):
        return 2 * tensors[-2].numel()
    return 0


_current = [0]  # the device that torch.cuda.set_device chose


def _patch_torch(dev: Any, generator: Any) -> None:
    """What ``torch.cuda`` says on a machine with two devices, and what needs a wrapper's help."""
    import torch.utils._foreach_utils as foreach

    cuda = torch.cuda

    def set_device(device: Any) -> None:
        found = (
            torch.device(device) if not isinstance(device, int) else torch.device("cuda", device)
        )
        _current[0] = found.index or 0

    class Chosen(contextlib.ContextDecorator):
        def __init__(self, device: Any) -> None:
            torch.device(device)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> bool:
            return False

    answers = {
        "_lazy_init": None, "is_available": True, "is_initialized": False, "device_count": 2,
        "synchronize": None, "is_bf16_supported": True, "empty_cache": None,
        "mem_get_info": (80 << 30, 80 << 30), "get_device_capability": (9, 0),
        "get_device_name": "simulated",
    }  # fmt: skip
    for name, answer in answers.items():
        setattr(cuda, name, lambda *_, _answer=answer, **__: _answer)
    cuda.current_device = lambda: _current[0]
    cuda.set_device = set_device
    cuda.device = Chosen
    torch.Generator = generator
    foreach._foreach_supported_types.append(dev)  # so that clip_grad_norm_ takes CUDA's way
    importlib.import_module("torch._dynamo")  # it looks at the signature of the next ones
    for maker in ("tensor", "as_tensor", "asarray"):
        setattr(torch, maker, _above(getattr(torch, maker)))
    pinned: Any = torch.Tensor

    def pin_memory(self: Any, device: Any = None) -> Any:
        copy = self.clone()
        copy._pinned = True
        return copy

    pinned.pin_memory = pin_memory
    pinned.is_pinned = lambda self, device=None: getattr(self, "_pinned", False)
    compatible = torch._has_compatible_shallow_copy_type
    # Module.to would else copy the wrapper's metadata into a plain Parameter without numbers.
    torch._has_compatible_shallow_copy_type = lambda a, b: (
        not isinstance(a, dev) and not isinstance(b, dev) and compatible(a, b)
    )


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Run the block without the mode, for what a path prepares on the CPU."""
    with torch.utils._python_dispatch._disable_current_modes():
        yield
