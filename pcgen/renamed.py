"""Old names of modules, classes and functions: they import with a DeprecationWarning.

:data:`MODULES` has the new name of each module, :data:`NAMES` the new name of each class and
function. Importing :mod:`pcgen` installs a finder, which serves both.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_TRANSPORT = {
    "discrete": "assignment",
    "choose": "auto",
    "blocks": "chunking",
    "line": "exact.univariate",
    "newton": "exact.newton",
    "cells": "exact.power_diagram",
    "walls": "exact.facets",
    "domain": "exact.densities",
    "ball": "exact.radial_densities",
    "normal": "exact.radial_densities",
    "measurable": "exact.measures",
    "starts": "exact.measures",
    "raising": "exact.newton",
    "extended": "maps.extended",
    "mapped": "maps.extended",
    "modes": "maps.local_scale",
    "visits": "maps.stratified",
    "pictures": "maps.plots",
    "semidual": "stochastic.semidual",
    "state": "stochastic.state",
    "reach": "stochastic.semidual",
    "workspace": "stochastic.workspace",
    "schedule": "stochastic.schedule",
    "tally": "stochastic.cell_masses",
    "redraw": "stochastic.lattice_sampling",
    "coarse": "stochastic.group_corrections",
    "repairs": "stochastic.cell_corrections",
    "kept": "stochastic.solve_checkpoint",
    "search": "stochastic.search.tree",
    "beam": "stochastic.search.beam_width",
    "unmet": "stochastic.search.empty_cells",
    "refine": "stochastic.search.multiscale",
    "conjugate.line": "conjugate.univariate",
}

_OTHERS = {
    "base.guard": "base.collapse_guard",
    "base.choice": "base.selection",
    "base.dual": "base.dual_ascent",
    "kernels.choice": "kernels.backends",
    "model.follow": "model.trajectories",
    "train.trial": "train.step_timing",
    "viewer.jobs": "viewer.background",
    "draws": "batch_random",
    "explained": "overview",
    "reconstruct.solid": "reconstruct.watertight",
    "reconstruct.outer_skin": "reconstruct.implicit_surface",
    "reconstruct.crossings": "reconstruct.self_intersections",
    "reconstruct.rays": "shapes.ray_scene",
    "reconstruct.ray_scene": "shapes.ray_scene",
    "api.meshing": "api.shapes",
    "shapes.apart": "shapes.sandbox",
    "shapes.pieces": "shapes.shards",
    "shapes.places": "shapes.category_frames",
    "shapes.tree": "shapes.listing",
    "shapes.stacks": "shapes.cloud_arrays",
    "shapes.evidence": "shapes.consistency",
    "shapes.fetch": "shapes.remote_datasets",
    "shapes.one": "shapes.cloud_files",
    "shapes.solid": "shapes.signed_distances",
    "evaluate.annealed": "distances.annealed_emd",
    "evaluate.bounds": "distances.bounds",
    "evaluate.annealed_emd": "distances.annealed_emd",
    "evaluate.cache": "distances.cache",
    "evaluate.distance_bounds": "distances.bounds",
    "evaluate.distances": "distances.pairwise",
    "evaluate.matrix": "distances.tables",
    "evaluate.novelty": "distances.novelty",
    "evaluate.figures": "evaluate.metrics",
    "evaluate.real": "evaluate.reference_sets",
    "evaluate.inputs": "evaluate.generated_sets",
    "evaluate.clouds": "evaluate.cloud_sets",
    "evaluate.words": "evaluate.report_text",
    "evaluate.page": "evaluate.html_report",
    "evaluate.charts": "render.charts",
    "evaluate.trees": "evaluate.published_sets",
    "evaluate.files": "evaluate.requests",
    "render.bodies": "render.primitives",
    "render.light": "render.lighting",
    "render.picture": "render.renderer",
    "render.display": "render.simplification",
    "render.files": "render.image_files",
    "gallery.source": "gallery.from_path",
    "gallery.pack": "gallery.web_geometry",
    "viewer.extras": "viewer.derived_data",
    "viewer.facts": "viewer.descriptions",
}

MODULES = {
    **{f"pcgen.transport.{old}": f"pcgen.transport.{new}" for old, new in _TRANSPORT.items()},
    **{f"pcgen.{old}": f"pcgen.{new}" for old, new in _OTHERS.items()},
}

_UNIVARIATE = "pcgen.transport.exact.univariate"
_EXTENDED = "pcgen.transport.maps.extended"
_STRATIFIED = "pcgen.transport.maps.stratified"
_ESTIMATES = "pcgen.transport.stochastic.mass_estimates"
_CONJUGATE = "pcgen.transport.conjugate.univariate"
_ITERATION = "pcgen.transport.conjugate.iteration"

# Of each module: old=new names, where they stayed in it.
_WITHIN = {
    "reconstruct.implicit_surface": "skin=implicit_surface",
    "shapes.plan": "Settings=PrepareSettings",
    "shapes.shards": (
        "Piece=Shard Shape=StoredShape Converted=ConvertedShard write_piece=write_shard "
        "PIECE_SIZE=SHARD_SIZE"
    ),
    "shapes.items": "Item=SourceItem stacks_of=cloud_arrays_of",
    "shapes.clouds": (
        "Content=FileContent Opened=OpenedShape checked=clean_cloud shaped_cloud=check_cloud_shape"
    ),
    "shapes.cloud_files": "Clouds=CloudList tell_passed_over=report_skipped",
    "shapes.store": "Row=IndexRow",
    "shapes.category_frames": (
        "Place=SourceFrame BOX=BOX_FRAME category_places=category_frames "
        "places_of_run=frames_of_run places_of_samples=frames_of_samples"
    ),
    "shapes.cloud_arrays": (
        "Stack=CloudArray find_stacks=find_cloud_arrays only_stack=only_cloud_array "
        "open_stacks=open_cloud_arrays advice=shape_advice"
    ),
    "shapes.sandbox": "read_apart=read_sandboxed",
    "shapes.remote_datasets": "at_hand=local_folder",
    "shapes.axes": "raised=to_y_up lowered=from_y_up",
    "shapes.consistency": "about_up=up_axis_remarks about_units=unit_remarks",
    "shapes.layouts": "passed_over=skipped_remarks ignored=count_ignored",
    "shapes.formats.raw": "Raw=RawShape plain=to_utf8 numbers=parse_numbers",
    "shapes.arrays": "scratch=temporary_array",
    "evaluate.metrics": (
        "Settings=EvaluationSettings Tables=DistanceTables Measured=MetricComputer "
        "novelty_figures=novelty_metrics"
    ),
    "evaluate.report_text": (
        "Figure=Metric figures_of=metrics_of yardsticks=ceilings short=last_part"
    ),
    "evaluate.html_report": "figures_page=metrics_page",
    "children": "Reach=BlendSettings",
    "children.drawing": "Pairs=MatchedClouds Reach=BlendSettings",
    "distances.novelty": ("Newness=Novelty NoveltyJudge=NoveltyIndex two_draw=two_draw_distances"),
    "evaluate.cloud_sets": "RealSets=ReferenceSets pair_up=pair_trials same_again=ceiling_trials",
    "evaluate.reference_sets": "read_real=read_reference_sets",
    "evaluate.published_sets": "Tree=PublishedDataset open_tree=open_published",
    "evaluate.requests": (
        "Request=EvaluationRequest judge=evaluate_request request_for=EvaluationRequest "
        "make_request=EvaluationRequest"
    ),
    "evaluate.generated_sets": "read_any=read_cloud_path",
    "distances.pairwise": "on_device=device_backend placed=split_backend",
    "distances.bounds": "joined=concatenate_sketches",
    "evaluate.checks": "suspicions=sanity_warnings",
    "distances.cache": "used=touch",
    "render.charts": "accuracies=accuracy_chart Mark=AccuracyMark",
    "render.primitives": "Body=Primitives",
    "render.lighting": "Lamps=LightMaps sky=sky_light key=key_light",
    "render.renderer": "Studio=Renderer GroundMap=GroundShadow",
    "render.inputs": (
        "Shape=LoadedShape box_place=box_source_frame readable=readable_shapes "
        "natural=natural_order"
    ),
    "render.explain": "Decoded=DecodedBatch stretch=display_factor detour=relative_path_length",
    "viewer.sources": (
        "Item=ViewedShape usable=usable_normals training_of=training_shapes "
        "reconstructed=reconstruct_mesh"
    ),
    "viewer.drawing": "ready=precompute_lighting lit=cloud_lighting lit_mesh=mesh_lighting",
    "viewer.descriptions": "facts_of=describe_shape lack_of=why_unavailable title_of=display_name",
    "viewer.derived_data": "Extras=DerivedData",
    "viewer.screen_size": "fitting=fit_to_screen",
    "viewer.graphics_probe": "graphics=probe_graphics",
    "viewer.background": "Immediate=ImmediateJobs",
    "gallery.from_path": "Content=GalleryContent",
    "gallery.notebook": "Exhibit=NotebookShape turnable=notebook_view framed=as_iframe",
    "gallery.web_geometry": "Packed=PackedGeometry",
    "bench.problems": "chosen=problem_names data_of=problem_data",
    "transport.problem": "Distinct=DistinctAtoms",
    "transport.conjugate.iteration": "judge=iteration_status",
    "transport.conjugate.network": "Fit=ConjugateFit",
    "transport.stochastic.group_corrections": "best_of_groups=best_group_scores",
    "transport.maps.plots": (
        "draw=plot_solution CellPicture=CellGeometry cell_picture=cell_geometry"
    ),
    "kernels.backends": "choose=choose_backend",
    "base": "inspect=check_collapse",
    "base.collapse_guard": "inspect=check_collapse",
    "base.conjugate": "Pushes=PushCounts",
    "base.selection": "choose=select_base simplest=simplest_candidate",
    "latent.mixture": "Drawn=MixtureSamples",
    "latent.autoencoder": "Local=LocalCodes",
    "flow.networks": (
        "LatentSlope=LatentFlowNetwork PointSlope=PointFlowNetwork "
        "BoundPointSlope=BoundPointFlow gathered=gather_rows"
    ),
    "flow.characteristic": "Slope=MeanVelocity jump=characteristic_map",
    "flow.integrate": "jumps=characteristic_trajectory",
    "flow.coupling": "onto_surface=project_to_surface",
    "model": "Decoded=DecodedClouds LatentDraw=LatentSamples",
    "model.clouds": "Decoded=DecodedClouds",
    "model.latents": "LatentDraw=LatentSamples",
    "model.surfaces": "Surfaces=LatentMesher",
    "model.trajectories": (
        "follow=flow_trajectory Networks=FlowNetworks weights=load_weights check=check_counts"
    ),
    "train.data": "Mapped=MemmapRows MappedRows=MemmapRows",
    "shapes.signed_distances": "Solid=OuterSurface sample_solid=sample_signed_distances",
    "train.latent_flow": "Pairs=CoupledLatents",
    "children.rule": "Figures=NoveltyStatistics figures_of=novelty_statistics",
    "jobs.child": "told=error_data raise_told=raise_error",
}

# Of each module, by its new name: its old names, and where they are now.
NAMES: dict[str, dict[str, tuple[str, str]]] = {
    "pcgen.transport": {
        "LineSolver": (_UNIVARIATE, "UnivariateSolver"),
        "ExtendedMap": (_EXTENDED, "SemidiscreteMap"),
        "Mapped": (_EXTENDED, "PushForward"),
        "EvenVisits": (_STRATIFIED, "StratifiedSampler"),
    },
    "pcgen.transport.evidence": {
        "Census": (_ESTIMATES, "MassEstimate"),
        "take_census": (_ESTIMATES, "estimate_masses"),
    },
    "pcgen.transport.conjugate": {
        "LineConjugate": (_CONJUGATE, "UnivariateConjugate"),
        "conjugate_line": (_CONJUGATE, "conjugate_univariate"),
        "Status": (_ITERATION, "IterationStatus"),
    },
    _UNIVARIATE: {"LineSolver": (_UNIVARIATE, "UnivariateSolver")},
    _EXTENDED: {
        "ExtendedMap": (_EXTENDED, "SemidiscreteMap"),
        "Mapped": (_EXTENDED, "PushForward"),
    },
    _STRATIFIED: {"EvenVisits": (_STRATIFIED, "StratifiedSampler")},
    _CONJUGATE: {
        "LineConjugate": (_CONJUGATE, "UnivariateConjugate"),
        "conjugate_line": (_CONJUGATE, "conjugate_univariate"),
    },
    **{
        f"pcgen.{module}": {
            old: (f"pcgen.{module}", new)
            for old, new in (pair.split("=") for pair in pairs.split())
        }
        for module, pairs in _WITHIN.items()
    },
}

for _old in ("Standardised", "Standardisation"):
    NAMES["pcgen.evaluate.generated_sets"][_old] = ("pcgen.datatypes", "Frame")


def names(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module, which hands out its old names."""

    def of(name: str) -> Any:
        if name not in NAMES.get(module, {}):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, new = NAMES[module][name]
        _warn(f"{module}.{name}", f"{place}.{new}")
        return getattr(importlib.import_module(place), new)

    return of


def install() -> None:
    """Let old modules and old names be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in MODULES:
            return ModuleSpec(fullname, self)
        if fullname not in NAMES:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            _give_old_names(spec.loader)
        return spec

    def exec_module(self, module: ModuleType) -> None:
        new = MODULES[module.__name__]
        _warn(module.__name__, new)
        module.__getattr__ = lambda name: getattr(  # type: ignore[method-assign]
            importlib.import_module(new), name
        )


def _give_old_names(loader: Loader) -> None:
    """Let the module that ``loader`` makes give its old names."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        module.__getattr__ = names(module.__name__)  # type: ignore[method-assign]

    loader.exec_module = exec_module  # type: ignore[method-assign]


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=3)
