"""Training from scratch: low resolution first, then finishing at the resolution that is served.

One loop for all families. The learning rate follows one cycle over all stages (Smith, "Super-Convergence", 2018);
small images first is progressive resizing (Tan and Le, "EfficientNetV2", 2021, section 4). Every epoch ends with a
checkpoint from which an interrupted training goes on.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from predictors.imaging import Preprocessing, implementation_hash
from predictors.models.dataset import Dataset

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Plan", "Result", "Stage", "accuracy", "pixels_of", "save_float16", "train"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs at one resolution; `side` in pixels."""

    side: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How a family is trained; `peak_rate` is the largest learning rate of the cycle."""

    stages: tuple[Stage, ...]
    batch: int = 64
    peak_rate: float = 4e-3
    weight_decay: float = 0.05
    smoothing: float = 0.05
    flips: bool = True
    seed: int = 0
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What training ended with: the mean loss of each epoch, and the network."""

    losses: tuple[float, ...]
    network: nn.Module


def pixels_of(dataset: Dataset, preprocessing: Preprocessing) -> Pixels:
    """Decode a whole split to uint8 [n, height, width, channels]."""
    from PIL import Image

    channels, height, width = preprocessing.shape
    pixels = np.empty((len(dataset.files), height, width, channels), dtype=np.uint8)
    for index, path in enumerate(dataset.files):
        with Image.open(path) as image:
            pixels[index] = preprocessing.crop(image)
    return pixels


def train(
    family: str,
    pixels: Pixels,
    labels: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    plan: Plan,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Train `family.network()` on uint8 [n, height, width, channels] and int64 [n].

    An existing checkpoint of the same plan, network, images, labels and preprocessing is continued; any other one
    is ignored, which `progress` is told, and overwritten.
    """
    import torch

    key = _key(family, pixels, labels, preprocessing, plan)

    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    network: nn.Module = importlib.import_module(family).network()
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.peak_rate, weight_decay=plan.weight_decay)
    steps = max(1, len(pixels) // plan.batch)
    epochs = [stage.side for stage in plan.stages for _ in range(stage.epochs)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=plan.peak_rate, total_steps=steps * len(epochs), pct_start=0.15
    )
    losses = _restore(checkpoint, key, network, optimizer, schedule)
    if not losses and checkpoint is not None and checkpoint.exists():
        progress(f"starting anew: {checkpoint} is of another training, or damaged")
    shrunk: tuple[int, Pixels] = (0, pixels)
    for epoch in range(len(losses), len(epochs)):
        side = epochs[epoch]
        if shrunk[0] != side:
            shrunk = (side, _shrink(pixels, side))
        order = np.random.default_rng((plan.seed, epoch)).permutation(len(pixels))
        generator = torch.Generator().manual_seed(plan.seed * 1000 + epoch)
        total = 0.0
        network.train()
        for step in range(steps):
            rows = order[step * plan.batch : (step + 1) * plan.batch]
            images = _tensor(shrunk[1][rows], preprocessing)
            if plan.flips:
                flipped = torch.rand(len(rows), generator=generator) < 0.5
                images[flipped] = images[flipped].flip(-1)
            loss = torch.nn.functional.cross_entropy(
                network(images), torch.from_numpy(labels[rows]), label_smoothing=plan.smoothing
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / steps)
        _keep(checkpoint, key, losses, network, optimizer, schedule)
        progress(f"epoch {epoch + 1}/{len(epochs)} at {side} px: loss {losses[-1]:.3f}")
    network.eval()
    return Result(tuple(losses), network)


def accuracy(network: nn.Module, pixels: Pixels, labels: npt.NDArray[np.int64], preprocessing: Preprocessing) -> float:
    """Return the share of right answers on uint8 [n, height, width, channels]."""
    import torch

    network.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(pixels), 64):
            logits = network(_tensor(pixels[start : start + 64], preprocessing))
            right += int((logits.argmax(1).numpy() == labels[start : start + 64]).sum())
    return right / len(pixels)


def save_float16(network: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write the weights as safetensors in float16; the source that is served is their upcast."""
    import torch
    from safetensors.torch import save_file

    tensors = {
        name: tensor.to(torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # What an interruption leaves half is not the file that a card names.
    draft = path.with_name(f".{path.name}.part")
    save_file(tensors, draft, metadata=metadata)
    draft.replace(path)


def _tensor(pixels: Pixels, preprocessing: Preprocessing) -> torch.Tensor:
    import torch

    images = torch.from_numpy(preprocessing.normalize(pixels))
    return images.contiguous(memory_format=torch.channels_last)


def _shrink(pixels: Pixels, side: int) -> Pixels:
    from PIL import Image

    if pixels.shape[1] == side:
        return pixels
    small = np.empty((len(pixels), side, side, pixels.shape[3]), dtype=np.uint8)
    for index, image in enumerate(pixels):
        # A gray image is two-dimensional to PIL.
        picture = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
        shrunk = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))
        small[index] = shrunk.reshape(side, side, -1)
    return small


def _key(family: str, pixels: Pixels, labels: npt.NDArray[np.int64], preprocessing: Preprocessing, plan: Plan) -> str:
    """Name all that decides what a training ends with."""
    digest = hashlib.sha256(repr((family, pixels.shape, implementation_hash(), preprocessing, asdict(plan))).encode())
    source = importlib.util.find_spec(family)
    if source is not None and source.origin is not None:
        digest.update(Path(source.origin).read_bytes())
    digest.update(np.ascontiguousarray(labels).data)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _restore(
    checkpoint: Path | None,
    key: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> list[float]:
    import torch

    if checkpoint is None or not checkpoint.exists():
        return []
    try:
        state = torch.load(checkpoint, weights_only=True)
    except (EOFError, RuntimeError, pickle.UnpicklingError):
        return []
    if not isinstance(state, dict) or state.get("key") != key:
        return []
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    losses: list[float] = state["losses"]
    return losses


def _keep(
    checkpoint: Path | None,
    key: str,
    losses: Sequence[float],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    import torch

    if checkpoint is None:
        return
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    staging = checkpoint.with_suffix(".part")
    torch.save(
        {
            "key": key,
            "losses": list(losses),
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
        },
        staging,
    )
    staging.replace(checkpoint)
