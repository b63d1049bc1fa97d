"""The paths of the simulated device on a real one, compared with the CPU: pytest -m gpu."""

import pytest
import torch

from tests.device import paths

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("name", paths.PATHS)
def test_a_path_gives_the_numbers_of_the_cpu(name):
    run = paths.PATHS[name]
    assert paths.compared(name, run("cuda"), run("cpu")) == ""
