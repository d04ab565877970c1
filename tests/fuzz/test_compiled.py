"""What PyTorch compiles answers as what it does not; here because compiling takes a minute and more."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from predictors.runtimes import load_runtime
from tests.unit.test_runtimes import compiled, torch_artifact


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler")
def test_torch_compiled_answers_as_eager_does(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    variant = torch_artifact(tmp_path)
    import safetensors.torch

    from predictors.models import architecture

    tiny = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architecture, "build", lambda *_: tiny)
        patch.setattr(safetensors.torch, "load_file", lambda _: tiny.state_dict())
        eager, fused = (load_runtime(tmp_path, one, threads=1) for one in (variant, compiled(variant)))
    rows = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    for size in (2, 3):
        plain, found = (runtime.run({"image": rows[:size]})["logits"] for runtime in (eager, fused))
        np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)
    fused.close()
