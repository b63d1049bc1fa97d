"""A page of what a training has learned so far, updated during training.

While the autoencoder is trained, the page shows training shapes next to their reconstructions;
while the point flow is trained, new shapes. It uses its own random numbers, so it changes only the
duration of the training, by less than 2 %, see :data:`SHARE`.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from pathlib import Path

import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from pcgen import progress, render
from pcgen.config import to_plain
from pcgen.errors import PcgenError
from pcgen.files import atomic_file
from pcgen.flow.networks import BoundPointFlow, PointCondition
from pcgen.latent.autoencoder import Autoencoder
from pcgen.model.latents import LatentSampler
from pcgen.model.trajectories import flow_trajectory
from pcgen.render.image_files import webp_uri
from pcgen.render.renderer import Image
from pcgen.train.latents import load_autoencoder
from pcgen.train.stage import Context

NAME = "progress.html"
SHAPES = 6
POINTS = 1024  # of a shape
PICTURE = 180  # pixels
FIRST_S = 50.0  # from the start to the first picture
EVERY_S = 20.0  # between two pictures, at least
SHARE = 0.015  # of the time that pictures may take
EULER_STEPS = 4  # of a teacher, whose flow is not straight; a student takes one
COLUMNS = 3

STYLE = """body { margin: 2em auto; max-width: 1180px; padding: 0 1em; color: #292b30;
  background: #f8f7f4; font: 16px/1.5 system-ui, sans-serif; }
img { max-width: 100%; } p { max-width: 70ch; }"""


class Preview:
    """Watches a training, see :data:`pcgen.train.stage.Watch`; the page is ``folder / NAME``.

    Attributes:
        page: the file; it exists after the first picture.
    """

    def __init__(
        self, folder: Path, title: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.page, self._title, self._clock = folder / NAME, title, clock
        self._due = clock() + FIRST_S
        self._seen: tuple[Context, str, nn.Module] | None = None
        self._training: list[Image] = []
        self._new: tuple[Autoencoder, Tensor] | None = None

    def __call__(self, context: Context, part: str, module: nn.Module) -> None:
        """Write the page if it is due.

        Args:
            part: of the training, ``STAGE`` or ``STAGE/LOOP``; module: its moving average.
        """
        if part != "autoencoder" and not part.startswith("point-flow/"):
            return
        self._seen = context, part, module
        begun = self._clock()
        if begun < self._due:
            return
        self._write(again=True)
        ended = self._clock()
        self._due = ended + max(EVERY_S, (ended - begun) / SHARE)

    def stopped(self) -> None:
        """Write the page for the last time, after an interruption of the training."""
        if self._seen is not None:
            self._write(again=False)

    def ended(self, link: str) -> None:
        """Replace the page, if there is one, by a link to ``link``, a path relative to it."""
        self._seen = None
        if self.page.exists():
            where = html.escape(link)
            self._save(f'<p>The training has ended. See <a href="{where}">{where}</a>.</p>', "")

    def _write(self, *, again: bool) -> None:
        assert self._seen is not None
        context, part, module = self._seen
        try:
            # Networks that are built draw their first weights from the process's random numbers.
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                if isinstance(module, Autoencoder):
                    text, picture = self._rebuilt(context, module)
                else:
                    text, picture = self._generated(context, part, module)
            state = (
                "This page is updated during training."
                if again
                else "The training was interrupted here; the same command resumes it."
            )
            refresh = '<meta http-equiv="refresh" content="15">' if again else ""
            image = f'<img alt="" src="{webp_uri(picture, 90)}">'
            self._save(f"<p>{html.escape(text)} {state}</p>\n{image}", refresh)
        except PcgenError as error:
            progress.say(f"{self.page} was not written: {error}")

    def _save(self, body: str, head: str) -> None:
        title = html.escape(self._title)
        text = (
            f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">{head}\n'
            f"<title>{title}</title>\n<style>{STYLE}</style></head>\n"
            f"<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
        )
        first = not self.page.exists()
        with atomic_file(self.page) as temporary:
            temporary.write_text(text, encoding="utf-8")
        if first:
            progress.say(f"first picture of the training: {self.page}")

    def _rebuilt(self, context: Context, model: Autoencoder) -> tuple[str, Image]:
        """Training shapes, each next to its reconstruction."""
        clouds = context.clouds.points
        rows = torch.linspace(0, clouds.shape[0] - 1, min(SHAPES, clouds.shape[0])).long()
        known = clouds[rows][:, : context.run.settings.autoencoder.points]
        if not self._training:
            self._training = [_picture(one[:POINTS].numpy(), "training") for one in known]
        z = model.refined(known.to(context.device))
        _, drawn = model.draw_base(z, POINTS, _generator(context))
        made = [_picture(one.cpu().numpy()) for one in drawn.points]
        pairs = [render.pair(*two) for two in zip(self._training, made, strict=True)]
        text = (
            "Training shapes, each with its reconstruction by the autoencoder on the right. New "
            "shapes appear once the point flow is being trained."
        )
        return text, _sheet(pairs)

    def _generated(self, context: Context, part: str, module: nn.Module) -> tuple[str, Image]:
        """New shapes, by the base and the latent flow of the run and the point flow so far."""
        run, settings = context.run, context.run.settings.point_flow
        if self._new is None:
            model = load_autoencoder(context).to(context.device)
            sampler = LatentSampler(
                run.path, to_plain(run.config), model.latent_dim, context.device
            )
            drawn = sampler.draw(SHAPES, seed=run.config.seed)
            self._new = model, drawn.z.to(context.device)
        model, z = self._new
        mixture, start = model.draw_base(z, POINTS, _generator(context))
        local = model.local(z, start.part)
        condition = PointCondition.of(mixture, start, local, settings.neighbours)
        flow = BoundPointFlow(module, condition)
        steps, solver = (1, "student") if part.endswith("student") else (EULER_STEPS, "euler")
        *_, points = flow_trajectory(flow, start.points, steps, solver, part)
        normals = nn.functional.normalize(flow.normal, dim=-1)
        pictures = [
            _picture(one.cpu().numpy(), normals=side.cpu().numpy())
            for one, side in zip(points, normals, strict=True)
        ]
        return "New shapes, sampled from the networks as they are so far.", _sheet(pictures)


def _generator(context: Context) -> Generator:
    return Generator().manual_seed(context.run.config.seed)


def _picture(points: NDArray, colour: str = "generated", normals: NDArray | None = None) -> Image:
    return render.cloud(points, normals, size=PICTURE, colour=colour)


def _sheet(pictures: list[Image]) -> Image:
    return render.sheet([pictures[k : k + COLUMNS] for k in range(0, len(pictures), COLUMNS)])
