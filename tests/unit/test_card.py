"""Model cards: what is refused, in which words, and what a source's digest depends on."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import load_file, save_file

from predictors.card import check_data, check_source, load_card
from predictors.errors import CardError, DataError, SourceError
from predictors.models import antsbees, food11, mnist
from tests.modelfolders import mnist_folder
from tests.sources import card_text, insects_source, stripes_graph, stripes_source

EXAMPLES = Path(__file__).parents[2] / "examples" / "models"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with an ONNX source, where everything is right."""
    return stripes_source(tmp_path / "stripes", images=1)


@pytest.mark.parametrize(
    ("name", "labels"), [("antsbees", antsbees.LABELS), ("food11", food11.LABELS), ("mnist", mnist.LABELS)]
)
def test_a_shipped_card_names_its_own_network(name: str, labels: tuple[str, ...]) -> None:
    card = load_card(EXAMPLES / name)
    assert (card.name, card.module, card.labels) == (name, f"predictors.models.{name}", labels)
    check_data(EXAMPLES / name, card)


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "unknown key": ({"framework": "torch"}, "unknown key 'framework'"),
    "no name": ({"name": None}, "name: Field required"),
    "a name that is no label value": ({"name": "Stripes_1"}, "name: "),
    "a name too long for an id": ({"name": "a" * 13}, "name: "),
    "neither module nor onnx": ({"onnx": None}, "give either module"),
    "both module and onnx": ({"module": "predictors.models.mnist", "weights": "w"}, "give either module"),
    "parameters of a graph": ({"network": {"width": 0.5}}, "network has the parameters of a module"),
    "a parameter that is no number": ({"network": {"width": "half"}}, "network.width: "),
    "weights without module": ({"weights": "w.safetensors"}, "weights belong to a module"),
    "module without weights": ({"onnx": None, "module": "predictors.models.mnist"}, "weights belong to a module"),
    "a module of someone else": ({"onnx": None, "module": "os.path", "weights": "w"}, "module: .*is no module of"),
    "a loader of someone else": ({"data": {"loader": "shutil"}}, "data.loader: .*is no module of"),
    "a file outside": ({"onnx": "../model.onnx"}, "onnx: .*inside the model's folder"),
    "an absolute file": ({"onnx": "/model.onnx"}, "onnx: .*inside the model's folder"),
    "a label twice": ({"labels": ["a", "a", "b"]}, "labels names a class twice"),
    "too few labels": ({"labels": ["a", "b"]}, r"\[-1, 3\] does not fit 2 labels"),
    "a fixed batch": ({"inputs": [{"name": "x", "shape": [1, 1, 28, 28]}]}, r"inputs.0.shape: .*must be -1"),
    "other inputs": ({"inputs": [{"name": "x", "shape": [-1, 1, 32, 32]}]}, "preprocessing mnist-28 makes"),
    "other dtype": (
        {"inputs": [{"name": "x", "dtype": "uint8", "shape": [-1, 1, 28, 28]}]},
        "inputs.0 is uint8",
    ),
    "no preprocessing of ours": ({"preprocessing": {"name": "none"}}, "preprocessing.name 'none' is unknown"),
    "unknown metric": ({"metric": "f1"}, "metric: Input should be 'accuracy'"),
    "no images": ({"data": {"loader": "predictors.models.folder_data", "test": 0}}, "data.test: "),
    "snake case": (
        {"data": {"loader": "predictors.models.folder_data", "test_count": 1}},
        "data: unknown key 'test_count'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_card_is_refused_with_file_and_field(folder: Path, name: str) -> None:
    changes, words = REFUSED[name]
    (folder / "model.yaml").write_text(card_text(**changes), encoding="utf-8")
    with pytest.raises(CardError, match=words) as caught:
        load_card(folder)
    assert str(folder / "model.yaml") in str(caught.value)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"- a list", b"name: [", b"\xff\xfe", b"[" * 1200, b"a: &x [*x]", b"# " + b"x" * (300 << 10)],
    ids=["empty", "list", "cut", "binary", "deep", "alias", "huge"],
)
def test_what_is_no_card_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.yaml").write_bytes(content)
    with pytest.raises(CardError, match=r"model\.yaml"):
        load_card(folder)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"holds no model\.yaml"):
        load_card(tmp_path / "nowhere")
    (tmp_path / "model.yaml").mkdir()
    with pytest.raises(CardError, match="cannot be read"):
        load_card(tmp_path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    folder = mnist_folder(tmp_path)
    card = load_card(folder)
    path = folder / "weights.safetensors"
    right = load_file(path)
    wrong = {
        "has 14.weight, the file does not": {k: v for k, v in right.items() if k != "14.weight"},
        "has no 15.weight": right | {"15.weight": right["14.weight"]},
        r"14.weight is \[128, 10\]": right | {"14.weight": right["14.weight"].T.copy()},
        "14.bias is I32": right | {"14.bias": right["14.bias"].astype("int32")},
    }
    for words, tensors in wrong.items():
        save_file(tensors, path)
        with pytest.raises(SourceError, match=words) as caught:
            check_source(folder, card)
        assert caught.value.hint
    save_file(right | {"2.num_batches_tracked": right["14.bias"].astype("int64")}, path)
    check_source(folder, card)


def test_a_parameter_of_the_card_makes_the_network(tmp_path: Path) -> None:
    folder = insects_source(tmp_path, width=0.125)
    narrow = load_card(folder)
    check_source(folder, narrow)
    with pytest.raises(SourceError, match=r"0\.weight is \[8, 3, 7, 7\], the network of .* has \[64, 3, 7, 7\]"):
        check_source(folder, narrow.model_copy(update={"network": {"width": 1.0}}))
    with pytest.raises(SourceError, match=r"0\.weight is \[8, 3, 7, 7\], the network of .* has \[32, 3, 7, 7\]"):
        check_source(folder, narrow.model_copy(update={"network": {}}))
    with pytest.raises(SourceError, match="has no parameter 'depth'") as caught:
        check_source(folder, narrow.model_copy(update={"network": {"depth": 18}}))
    assert "it takes width" in caught.value.hint


def test_labels_and_channels_must_be_those_of_the_network(tmp_path: Path) -> None:
    folder = mnist_folder(tmp_path)
    card = load_card(folder)
    fewer = card.model_copy(update={"labels": card.labels[:9]})
    with pytest.raises(SourceError, match=r"9 labels, and .* gives 10 classes"):
        check_source(folder, fewer)
    spec = card.inputs[0].model_copy(update={"shape": (-1, 3, 28, 28)})
    with pytest.raises(SourceError, match="says 3 channels"):
        check_source(folder, card.model_copy(update={"inputs": (spec,)}))


@pytest.mark.parametrize(("side", "is_taken"), [(23, False), (24, True), (31, True), (32, False)])
def test_the_size_must_be_one_that_the_network_takes(tmp_path: Path, side: int, is_taken: bool) -> None:
    folder = mnist_folder(tmp_path)
    card = load_card(folder)
    spec = card.inputs[0].model_copy(update={"shape": (-1, 1, side, side)})
    changed = card.model_copy(update={"inputs": (spec,)})
    # The network itself is the witness.
    import torch

    from predictors.models import mnist

    image = torch.zeros(1, 1, side, side)
    if is_taken:
        check_source(folder, changed)
        mnist.network()(image)
        return
    with pytest.raises(SourceError, match=f"says {side} pixels a side, and .* takes 24 to 31") as caught:
        check_source(folder, changed)
    assert "inputs and preprocessing" in caught.value.hint
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        mnist.network()(image)


def test_modules_that_do_not_exist_are_refused(folder: Path) -> None:
    data = {"loader": "predictors.models.nothing"}
    (folder / "model.yaml").write_text(card_text(data=data), encoding="utf-8")
    with pytest.raises(CardError, match=r"data.loader names predictors.models.nothing"):
        check_data(folder, load_card(folder))
    changes: dict[str, object] = {"onnx": None, "module": "predictors.models.nothing", "weights": "w"}
    (folder / "model.yaml").write_text(card_text(**changes), encoding="utf-8")
    with pytest.raises(CardError, match=r"module names predictors.models.nothing"):
        check_source(folder, load_card(folder))


def _external() -> onnx.ModelProto:
    model = stripes_graph()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return model


def _without_input() -> onnx.ModelProto:
    model = stripes_graph()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (stripes_graph("image"), "has the inputs image; its card says x"),
        (stripes_graph(size=32), r"input x is float32 \[-1, 1, 32, 32\]; its card says float32 \[-1, 1, 28, 28\]"),
        (stripes_graph(batch=1), "the batch axis of x is fixed to 1"),
        (_external(), "keeps weights in another file"),
        (_without_input(), "input x is object"),
    ],
    ids=["name", "size", "batch", "external", "type"],
)
def test_a_graph_with_other_tensors_than_its_card_is_refused(folder: Path, model: onnx.ModelProto, words: str) -> None:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(SourceError, match=words) as caught:
        check_source(folder, load_card(folder))
    assert caught.value.hint


def test_a_damaged_or_missing_graph_is_refused(folder: Path) -> None:
    card = load_card(folder)
    (folder / "model.onnx").write_bytes(b"\x0a\xff\xff\xff")
    with pytest.raises(SourceError, match="is no ONNX file"):
        check_source(folder, card)
    (folder / "model.onnx").unlink()
    with pytest.raises(SourceError, match=r"model\.onnx is missing"):
        check_source(folder, card)


def test_an_initializer_among_the_inputs_is_no_input(folder: Path) -> None:
    model = stripes_graph()
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3, 4]))
    onnx.save(model, folder / "model.onnx")
    assert re.fullmatch("[0-9a-f]{64}", check_source(folder, load_card(folder)))


def test_the_digest_follows_what_the_model_is_and_not_how_it_is_measured(folder: Path, tmp_path: Path) -> None:
    first = check_source(folder, load_card(folder))
    data = {"loader": "predictors.models.folder_data", "source": "data", "test": 2}
    (folder / "model.yaml").write_text(card_text(data=data), encoding="utf-8")
    assert check_source(folder, load_card(folder)) == first
    (folder / "model.yaml").write_text(card_text(labels=["columns", "rows", "plain"]), encoding="utf-8")
    assert check_source(folder, load_card(folder)) != first
    (folder / "model.yaml").write_text(card_text(), encoding="utf-8")
    onnx.save(stripes_graph(shift=1), folder / "model.onnx")
    assert check_source(folder, load_card(folder)) != first
    elsewhere = stripes_source(tmp_path / "elsewhere", images=2)
    assert check_source(elsewhere, load_card(elsewhere)) == first


def test_data_that_cannot_be_had_are_refused(folder: Path) -> None:
    card = load_card(folder)
    shutil.rmtree(folder / "data" / "test")
    with pytest.raises(DataError, match="has no test/"):
        check_data(folder, card)
    shutil.rmtree(folder / "data")
    (folder / "data").mkdir()
    with pytest.raises(DataError, match="is empty"):
        check_data(folder, card)


def test_checking_a_model_imports_no_engine(folder: Path, tmp_path: Path) -> None:
    torch_source = mnist_folder(tmp_path / "mnist")
    script = (
        "import sys; from pathlib import Path; from predictors.card import *; from predictors.build import plan\n"
        "for folder in map(Path, sys.argv[1:]):\n"
        "    card = load_card(folder); check_source(folder, card); check_data(folder, card); plan(card, folder)\n"
        "print(sorted({'torch', 'onnxruntime', 'openvino', 'nncf', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(folder), str(torch_source)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout == "[]\n"
