"""The images we make, as data: what each is for and what goes into it. Nothing is read or built here."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["IMAGES", "REPOSITORY", "ROOT", "Image", "choose"]

ROOT = Path(__file__).parents[2]
REPOSITORY = "kind.local/podium"

_SERVER = ("predictors/*.py", "predictors/server/**/*.py", "predictors/runtimes/__init__.py")
# Devices that a CPU node does not have, file formats that no artifact of ours is in (80 MB together), and what reports
# its use on import: the conversion tools do that, and serving needs neither them nor their reporter.
_OPENVINO_ELSEWHERE = (
    "openvino/libs/libopenvino_intel_[gn]pu_plugin.so",
    "openvino/libs/cache.json",
    *(
        f"openvino/libs/libopenvino_{form}_frontend.so.*"
        for form in ("gguf", "jax", "paddle", "pytorch", "tensorflow*")
    ),
    "openvino/tools/",
    "openvino_telemetry/",
    "openvino_telemetry-*.dist-info/*",
)
# Workers in Java, pages that nothing here serves, and reinforcement learning.
_RAY_ELSEWHERE = ("ray/jars/", "ray/dashboard/client/", "ray/rllib/")
_LAUNCHER = ("predictors/images/launcher.py", "podium")


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    Attributes:
        name: last part of its repository.
        title: one line, shown by registries.
        dockerfile: from the root of the project.
        requirements: hashed requirement file, from the root of the project.
        code: patterns of our own files that it holds.
        launcher: the file of ours that becomes a program, and its name there; None for none.
        without: patterns of installed files that are of no use to it; one that ends in a slash is a folder.
        programs: built programs below `.podium/bin`.
        on_demand: made only when asked for.
        is_deployed: a cluster gets it; False for what only stands beside ours in a comparison.
        limit_mb: largest size, uncompressed, in millions of bytes; 0 for none.
    """

    name: str
    title: str
    dockerfile: str
    requirements: str
    code: tuple[str, ...] = ()
    launcher: tuple[str, str] | None = None
    without: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    on_demand: bool = False
    is_deployed: bool = True
    limit_mb: int = 350


def _predictor(
    engine: str,
    title: str,
    *more: str,
    without: tuple[str, ...] = (),
    on_demand: bool = False,
    limit_mb: int = 350,
) -> Image:
    return Image(
        name=f"predictor-{engine}",
        title=title,
        dockerfile=f"predictors/images/predictor-{engine}.Dockerfile",
        requirements=f"requirements/images/predictor-{engine}.txt",
        code=(*_SERVER, f"predictors/runtimes/{engine}.py", *more),
        launcher=_LAUNCHER,
        without=without,
        on_demand=on_demand,
        limit_mb=limit_mb,
    )


IMAGES = (
    _predictor("ort", "Serves one ONNX variant with onnxruntime"),
    _predictor("openvino", "Serves one OpenVINO variant", without=_OPENVINO_ELSEWHERE),
    _predictor("torch", "Serves one PyTorch variant", "predictors/models/*.py", on_demand=True, limit_mb=0),
    _predictor(
        "ray",
        "Serves one ONNX variant in a replica of Ray Serve",
        "predictors/runtimes/ray_replica.py",
        "predictors/runtimes/ort.py",
        without=_RAY_ELSEWHERE,
        on_demand=True,
        limit_mb=0,
    ),
    Image(
        name="loadtest",
        title="Plays one share of a load with k6 or vegeta, and collects what the runners saw",
        dockerfile="predictors/images/loadtest.Dockerfile",
        requirements="requirements/images/loadtest.txt",
        code=("loadtest/*.py", "loadtest/k6/**/*.js"),
        programs=("k6", "vegeta"),
    ),
    Image(
        name="storage-initializer",
        title="Fetches a model for KServe from remote storage",
        dockerfile="predictors/images/storage-initializer.Dockerfile",
        requirements="requirements/images/storage-initializer.txt",
        launcher=("predictors/images/initializer.py", "podium-initializer"),
        on_demand=True,
    ),
    Image(
        name="stock-sdk",
        title="The same model behind KServe's own SDK server, to compare with",
        dockerfile="benchmarks/images/stock-sdk/Dockerfile",
        requirements="requirements/images/stock-sdk.txt",
        code=("benchmarks/images/stock-sdk/server.py",),
        on_demand=True,
        is_deployed=False,
        limit_mb=0,
    ),
)


def choose(names: list[str] | None, *, with_torch: bool) -> list[Image]:
    """Return the images of these names, or all that are not on demand, and torch's where it is wanted.

    Raises:
        KeyError: There is no image of that name; its argument is the name.
    """
    known = {image.name: image for image in IMAGES}
    wanted = names or [image.name for image in IMAGES if not image.on_demand]
    if with_torch and "predictor-torch" not in wanted:
        wanted = [*wanted, "predictor-torch"]
    return [known[name] for name in dict.fromkeys(wanted)]
