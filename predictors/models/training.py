"""Training: low resolution first, then finishing at the resolution that is served.

One loop for all families, from scratch or, with a teacher, for what was made of a trained network. The learning rate
follows one cycle over all stages (Smith, "Super-Convergence", 2018); small images first is progressive resizing (Tan
and Le, "EfficientNetV2", 2021, section 4). Every epoch ends with a checkpoint from which an interrupted training goes
on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from predictors.imaging import Preprocessing, implementation_hash
from predictors.models import architecture
from predictors.models.architecture import Parameters
from predictors.models.dataset import Dataset

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Plan", "Result", "Stage", "Teacher", "accuracy", "answers", "pixels_of", "save_float16", "teach", "train"]

Pixels = npt.NDArray[np.uint8]
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs at one resolution; `side` in pixels, `share` of the images in each epoch."""

    side: int
    epochs: int
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a family is trained; `peak_rate` is the largest learning rate of the cycle.

    With `bfloat16` convolutions are computed in it, which CPUs with AVX512-BF16 or AMX do faster; weights stay float32.
    A network that knows its work keeps its statistics and all its features with `frozen`: a short training has no time
    to find them again.
    """

    stages: tuple[Stage, ...]
    batch: int = 64
    peak_rate: float = 4e-3
    weight_decay: float = 0.05
    smoothing: float = 0.05
    flips: bool = True
    seed: int = 0
    threads: int = 2
    bfloat16: bool = False
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Teacher:
    """What a network is to learn beside the labels: another one's logits, float32 [n, classes].

    `share` of the loss is the divergence from the teacher's answers, both softened by `temperature`. Source:
    "Distilling the Knowledge in a Neural Network" (2015), section 2.
    """

    logits: npt.NDArray[np.float32]
    share: float = 0.9
    temperature: float = 2.0


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
    parameters: Parameters = MappingProxyType({}),
) -> Result:
    """Train a family's network, built with its own `parameters`, on uint8 [n, height, width, channels] and int64 [n].

    An existing checkpoint of the same plan, network, images, labels and preprocessing is continued; any other one
    is ignored, which `progress` is told, and overwritten.
    """
    import torch

    key = _key(family, pixels, labels, preprocessing, plan, parameters)
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    network = architecture.build(family, parameters)
    return _trained(network, pixels, labels, preprocessing, plan, key, None, checkpoint, progress)


def teach(
    network: nn.Module,
    teacher: Teacher,
    pixels: Pixels,
    labels: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    plan: Plan,
    *,
    checkpoint: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Train a network on, from the weights that it has, to answer as its teacher does.

    The same as `train` but for where it begins and what it learns; a checkpoint is continued if the weights to begin
    with and the teacher's answers are the same too.
    """
    import torch

    digest = hashlib.sha256(_key(__name__, pixels, labels, preprocessing, plan).encode())
    digest.update(repr((teacher.share, teacher.temperature)).encode())
    digest.update(teacher.logits.tobytes())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    return _trained(network, pixels, labels, preprocessing, plan, digest.hexdigest(), teacher, checkpoint, progress)


def _trained(
    network: nn.Module,
    pixels: Pixels,
    labels: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    plan: Plan,
    key: str,
    teacher: Teacher | None,
    checkpoint: Path | None,
    progress: Callable[[str], None],
) -> Result:
    import torch

    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.peak_rate, weight_decay=plan.weight_decay)
    epochs = [
        (stage.side, max(1, int(len(pixels) * stage.share) // plan.batch))
        for stage in plan.stages
        for _ in range(stage.epochs)
    ]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=plan.peak_rate, total_steps=sum(steps for _, steps in epochs), pct_start=0.15
    )
    losses = _restore(checkpoint, key, network, optimizer, schedule)
    if not losses and checkpoint is not None and checkpoint.exists():
        progress(f"starting anew: {checkpoint} is of another training, or damaged")
    shrunk: tuple[int, Pixels] = (0, pixels)
    for epoch in range(len(losses), len(epochs)):
        side, steps = epochs[epoch]
        if shrunk[0] != side:
            shrunk = (side, _shrink(pixels, side))
        order = np.random.default_rng((plan.seed, epoch)).permutation(len(pixels))
        generator = torch.Generator().manual_seed(plan.seed * 1000 + epoch)
        total = 0.0
        network.train(not plan.frozen)
        for step in range(steps):
            rows = order[step * plan.batch : (step + 1) * plan.batch]
            images = _tensor(shrunk[1][rows], preprocessing)
            if plan.flips:
                flipped = torch.rand(len(rows), generator=generator) < 0.5
                images[flipped] = images[flipped].flip(-1)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=plan.bfloat16):
                logits = network(images)
            loss = _loss(logits.float(), torch.from_numpy(labels[rows]), plan, teacher, rows)
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
    return float((answers(network, pixels, preprocessing).argmax(1) == labels).mean())


def answers(network: nn.Module, pixels: Pixels, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Return the logits, float32 [n, classes], for uint8 [n, height, width, channels]."""
    import torch

    network.eval()
    with torch.inference_mode():
        return np.concatenate(
            [
                network(_tensor(pixels[start : start + _AT_ONCE], preprocessing)).numpy()
                for start in range(0, len(pixels), _AT_ONCE)
            ]
        )


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


def _loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    plan: Plan,
    teacher: Teacher | None,
    rows: npt.NDArray[np.int64],
) -> torch.Tensor:
    import torch
    from torch.nn.functional import cross_entropy, kl_div, log_softmax

    hard = cross_entropy(logits, labels, label_smoothing=plan.smoothing)
    if teacher is None:
        return hard
    heat = teacher.temperature
    wanted = log_softmax(torch.from_numpy(teacher.logits[rows]) / heat, dim=1)
    soft = kl_div(log_softmax(logits / heat, dim=1), wanted, reduction="batchmean", log_target=True)
    # Softened answers have gradients smaller by the square of the temperature.
    return (1 - teacher.share) * hard + teacher.share * heat * heat * soft


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


def _key(
    family: str,
    pixels: Pixels,
    labels: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    plan: Plan,
    parameters: Parameters = MappingProxyType({}),
) -> str:
    """Name all that decides what a training ends with."""
    facts = (family, sorted(parameters.items()), pixels.shape, implementation_hash(), preprocessing)
    digest = hashlib.sha256(repr((facts, asdict(plan))).encode())
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
