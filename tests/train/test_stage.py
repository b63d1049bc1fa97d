"""Teacher, then student: the initial weights of the student, and the inputs of its loss."""

from types import SimpleNamespace

import torch
from torch import nn

from pcgen import checkpoint
from pcgen.train.budget import Budget
from pcgen.train.execution import Execution
from pcgen.train.loop import LoopSettings, Trainer
from pcgen.train.stage import fit_teacher_and_student

LOOPS = (LoopSettings(steps=5, batch=1, rate=0.1), LoopSettings(steps=3, batch=1, rate=0.1))


def train(folder, watch=None):
    """Pull a weight towards 10, then 20; returns the weights that the student's loss saw."""
    context = SimpleNamespace(
        run=SimpleNamespace(path=folder, stage=lambda name: folder / name),
        device="cpu",
        seed=lambda stage, part=0: 7,
        budget=Budget(folder, None),
        execution=Execution(),
        trainer=Trainer,
        watch=watch,
        read=lambda path, schema: checkpoint.load(path, schema)[0],
    )
    seen = []

    def teacher_loss(module, generator):
        return (module.weight - 10).square().sum()

    def student_loss(module, average, teacher, generator):
        seen.append([float(m.weight.detach()) for m in (module, average, teacher)])
        return (module.weight - 20).square().sum()

    fit_teacher_and_student(
        context, "toy", lambda: nn.Linear(1, 1, bias=False), teacher_loss, student_loss, loops=LOOPS
    )
    return seen


def test_the_student_begins_as_its_teacher(tmp_path):
    module, average, teacher = train(tmp_path)[0]
    assert module == average == teacher
    weights, _ = checkpoint.load(tmp_path / "toy" / "teacher" / "weights.safetensors")
    assert teacher == float(weights["weight"])


def test_the_student_meets_its_own_average_and_a_teacher_that_stands_still(tmp_path):
    modules, averages, teachers = zip(*train(tmp_path), strict=True)
    assert len(set(teachers)) == 1
    assert len(set(averages)) == len(averages)
    assert torch.tensor(modules).diff().min() > 0
    assert all(
        teacher < average < module
        for module, average, teacher in zip(modules[1:], averages[1:], teachers[1:], strict=True)
    )


def test_a_finished_pair_is_not_trained_again(tmp_path):
    assert len(train(tmp_path)) == 3
    assert train(tmp_path) == []


def test_each_step_is_watched_with_its_part_and_its_average(tmp_path):
    seen = []
    train(tmp_path, lambda context, part, module: seen.append((part, float(module.weight))))
    assert [part for part, _ in seen] == ["toy/teacher"] * 5 + ["toy/student"] * 3
    weights, _ = checkpoint.load(tmp_path / "toy" / "student" / "weights.safetensors")
    assert seen[-1][1] == float(weights["weight"])
