"""Models from anybody: nothing is unpickled, nothing unpacked, no other file is read, and an ONNX file is walked
before an engine sees it. Each has its control: the same thing done the unsafe way leaves its mark."""

import ast
import io
import os
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from predictors import onnxgate
from predictors.bare import find_bare
from predictors.errors import ArtifactError, InputError
from predictors.golden import read_golden
from predictors.imaging import preprocessing
from predictors.manifest import read_variant
from predictors.onnxgate import check_onnx
from predictors.runtimes import open_model_file
from predictors.runtimes.ort import REFUSALS
from tests.artifacts import vector_artifact, vector_graph

ROOT = Path(__file__).parents[2]
BANNED = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "dill.load", "dill.loads", "cloudpickle.load"),
    *(
        "cloudpickle.loads",
        "marshal.loads",
        "shelve.open",
        "yaml.load",
        "yaml.unsafe_load",
        "torch.load",
        "np.load",
        "eval",
        "exec",
    ),
}
UNPACKING = {"extractall", "unpack_archive", "extract"}
Record = Callable[[str, object], None]


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def unsafe(text: str) -> list[str]:
    """List the calls of a source that read objects of any kind; with the safe form of the last two they do not."""
    found = []
    for call in calls(ast.parse(text)):
        name = ast.unparse(call.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        is_safe = (name == "torch.load" and given.get("weights_only") == "True") or (
            name == "np.load" and given.get("allow_pickle") == "False"
        )
        if name in BANNED and not is_safe:
            found.append(f"{name} in line {call.lineno}")
    return found


def unpacking(text: str) -> list[str]:
    return [
        ast.unparse(call.func)
        for call in calls(ast.parse(text))
        if ast.unparse(call.func).rpartition(".")[2] in UNPACKING
    ]


def sources() -> dict[str, str]:
    found = {
        str(path): path.read_text()
        for name in ("predictors", "podium", "loadtest")
        for path in (ROOT / name).rglob("*.py")
    }
    assert len(found) > 100
    return found


class Mark:
    """Leaves a mark where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def canaries(folder: Path, mark: Path) -> list[Path]:
    """Write twelve files that leave the mark where somebody unpickles them."""
    folder.mkdir()
    raws = [pickle.dumps(Mark(mark), protocol) for protocol in range(6)]
    names = ("a.onnx", "b.onnx", "c.onnx", "d.xml", "e.xml", "f.onnx")
    for name, raw in zip(names, raws, strict=True):
        (folder / name).write_bytes(raw)
        if name.endswith(".xml"):
            (folder / name).with_suffix(".bin").write_bytes(raw)
    for name, member in (("g.onnx", "archive/data.pkl"), ("h.onnx", "data.pkl"), ("i.onnx", "model.onnx")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("first", b"")
            archive.writestr(member, raws[4])
    array = np.array([Mark(mark)], dtype=object)
    np.save(folder / "j.npy", array, allow_pickle=True)
    (folder / "j.npy").rename(folder / "j.onnx")
    (folder / "k.onnx").write_bytes(vector_graph().SerializeToString()[:40] + raws[2])
    (folder / "l.onnx").write_bytes(b"\x93NUMPY\x01\x00" + raws[3])
    return sorted(path for path in folder.iterdir() if path.suffix != ".bin")


@pytest.mark.row(
    "S15", "no pickle, joblib, torch.load of objects, yaml.load in the tree; 12 canaries refused and without effect"
)
def test_nothing_is_ever_unpickled(tmp_path: Path, record_property: Record) -> None:
    found = {name: calls_ for name, text in sources().items() if (calls_ := unsafe(text))}
    assert found == {}
    mark = tmp_path / "mark"
    files = canaries(tmp_path / "canaries", mark)
    assert len(files) == 12
    for path in files:
        bare = find_bare(str(path))
        assert bare is not None
        with pytest.raises(ArtifactError):
            open_model_file(bare.path, bare.engine, threads=1)
    folder = vector_artifact(tmp_path / "variant")
    variant = read_variant(folder)
    golden = next(folder.rglob("*.npy"))
    np.save(golden, np.array([Mark(mark)], dtype=object), allow_pickle=True)
    with pytest.raises((ArtifactError, ValueError)):
        read_golden(folder, variant)
    assert not mark.exists()
    record_property(
        "S15", f"{len(sources())} files without one; {len(files)} canaries and a golden array refused, no mark"
    )


@pytest.mark.control("S15")
def test_a_canary_that_is_unpickled_leaves_its_mark(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    first = canaries(tmp_path / "canaries", mark)[0]
    pickle.loads(first.read_bytes())  # noqa: S301
    assert mark.is_dir()
    assert unsafe("import pickle\npickle.loads(b'')\ntorch.load(x)\nnp.load(x, allow_pickle=True)") != []
    assert unsafe("torch.load(x, weights_only=True)\nnp.load(x, allow_pickle=False)") == []


def archives(folder: Path) -> list[bytes]:
    """Make archives that write elsewhere when they are unpacked, and one that is a thousand times its size."""
    made = []
    for name in ("../outside", str(folder / "outside"), "a/../../outside"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as zipped:
            zipped.writestr(name, b"x")
        made.append(stream.getvalue())
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tarred:
            tarred.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "../outside"
            tarred.addfile(link)
        made.append(stream.getvalue())
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("model.onnx", bytes(10 << 20))
    return [*made, stream.getvalue()]


@pytest.mark.row("S14", "archives are no models and no images: refused whole, nothing is unpacked anywhere")
def test_archives_are_refused_and_never_unpacked(tmp_path: Path, record_property: Record) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    images = preprocessing("mnist-28", {})
    made = archives(folder)
    for number, body in enumerate(made):
        path = folder / f"{number}.onnx"
        path.write_bytes(body)
        with pytest.raises(ArtifactError):
            open_model_file(path, "ort", threads=1)
        with pytest.raises(InputError):
            images.decode(body)
    assert {item.name for item in tmp_path.rglob("*")} == {"in", *(f"{number}.onnx" for number in range(len(made)))}
    serving = {name: text for name, text in sources().items() if "/predictors/" in name and "/images/" not in name}
    assert {name: found for name, text in serving.items() if (found := unpacking(text))} == {}
    record_property("S14", f"{len(made)} archives refused, nothing written; {len(serving)} files unpack nothing")


@pytest.mark.control("S14")
def test_a_plain_extract_writes_outside(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archives(tmp_path)[1])) as archive:
        archive.extraction_filter = tarfile.fully_trusted_filter
        archive.extractall(inner)  # noqa: S202
    assert (tmp_path / "outside").exists()
    assert unpacking("archive.extractall(path)") == ["archive.extractall"]


def external(location: str, *, in_attribute: bool = False) -> onnx.ModelProto:
    """Return the vector model with its weights in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    graph = vector_graph()
    del graph.graph.initializer[:]
    if in_attribute:
        weights.name = "value"
        graph.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weights))
    else:
        graph.graph.initializer.append(weights)
    return graph


def in_branch(inner: onnx.GraphProto) -> onnx.ModelProto:
    """Return a model that hides a graph in a branch."""
    condition = numpy_helper.from_array(np.array(True), "yes")
    other = helper.make_graph([], "other", [], [])
    node = helper.make_node("If", ["yes"], ["y"], then_branch=inner, else_branch=other)
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph([node], "outer", [], [value], [condition]))


def foreign() -> onnx.ModelProto:
    graph = vector_graph()
    graph.graph.node.append(helper.make_node("Shell", ["x"], ["z"], domain="evil.ops"))
    return graph


def in_a_functions_default() -> onnx.ModelProto:
    """Return a model whose weights are what a function of its own takes where nobody gives it any."""
    weights = external("linked.bin").graph.initializer[0]
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.add(name="value", ref_attr_name="w", type=onnx.AttributeProto.TENSOR)
    graph, opsets = vector_graph(), [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    given, wanted = graph.graph.input[0].name, graph.graph.output[0].name
    body = [constant, helper.make_node("MatMul", [given, "w"], [wanted])]
    default = helper.make_attribute("w", weights)
    function = helper.make_function("own", "Own", [given], [wanted], body, opsets[:1], attribute_protos=[default])
    node = helper.make_node("Own", [given], [wanted], domain="own")
    whole = helper.make_graph([node], "g", graph.graph.input, graph.graph.output)
    return helper.make_model(whole, functions=[function], opset_imports=opsets, ir_version=9)


def overlong(part: bytes, *fields: int) -> bytes:
    """Write the tags of a message's fields with a bit above the 32 that a tag has; the engine's parser drops it."""
    for field in fields:
        tag = next(bytes([field << 3 | kind]) for kind in (0, 2) if bytes([field << 3 | kind]) in part)
        place = part.rindex(tag)
        part = part[:place] + bytes([tag[0] | 128]) + b"\x80\x80\x80\x10" + part[place + 1 :]
    return part


def nested(part: bytes, *fields: int) -> bytes:
    """Put a message into the fields of others, the innermost first; what is added to a model joins what it has."""
    for field in fields:
        part = bytes([field << 3 | 2]) + _varint(len(part)) + part
    return part


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def hidden_data() -> bytes:
    """Return the vector model with its weights in another file, which only overlong tags say."""
    model = external("linked.bin")
    weights = model.graph.initializer.pop().SerializeToString()
    return bytes(model.SerializeToString()) + nested(overlong(weights, 13, 14), 5, 7)


def hidden_operator() -> bytes:
    model = foreign()
    node = model.graph.node.pop().SerializeToString()
    return bytes(model.SerializeToString()) + nested(overlong(node, 7), 1, 7)


WEAPONS: dict[str, Callable[[Path], onnx.ModelProto | bytes]] = {
    "hard link": lambda _: external("linked.bin"),
    "beside it": lambda _: external("weights.bin"),
    "symbolic link": lambda _: external("soft.bin"),
    "dots": lambda _: external("../weights.bin"),
    "absolute": lambda folder: external(str(folder / "weights.bin")),
    "device": lambda _: external("/dev/zero"),
    "in an attribute": lambda _: external("weights.bin", in_attribute=True),
    "in a branch": lambda _: in_branch(external("weights.bin").graph),
    "in a function's default": lambda _: in_a_functions_default(),
    "overlong tag": lambda _: hidden_data(),
    "foreign operator": lambda _: foreign(),
    "foreign operator in a branch": lambda _: in_branch(foreign().graph),
    "foreign operator under an overlong tag": lambda _: hidden_operator(),
}


def armed(folder: Path, name: str) -> Path:
    weights = folder / "weights.bin"
    weights.write_bytes(bytes(48))
    (folder / "linked.bin").hardlink_to(weights)
    (folder / "soft.bin").symlink_to(weights)
    path = folder / "model.onnx"
    weapon = WEAPONS[name](folder)
    path.write_bytes(weapon if isinstance(weapon, bytes) else weapon.SerializeToString())
    return path


@pytest.mark.row("S16", "external data in 10 forms and foreign operators refused before an engine reads the file")
@pytest.mark.parametrize("name", WEAPONS)
def test_a_model_that_reaches_out_is_refused(tmp_path: Path, name: str, record_property: Record) -> None:
    path = armed(tmp_path, name)
    with pytest.raises(ArtifactError, match=r"another file|domain 'evil\.ops'|no whole ONNX model"):
        open_model_file(path, "ort", threads=1)
    record_property("S16", f"{name}: refused")


@pytest.mark.control("S16")
@pytest.mark.parametrize("name", ["hard link", "in a function's default", "overlong tag"])
def test_the_engine_alone_reads_through_a_hard_link(tmp_path: Path, name: str) -> None:
    session = onnxruntime.InferenceSession(armed(tmp_path, name), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"x": np.ones((1, 4), dtype=np.float32)})
    assert (answer == 0).all(), "these are the other file's bytes"


@pytest.mark.control("S16")
@pytest.mark.parametrize("name", ["foreign operator", "foreign operator under an overlong tag"])
def test_the_engine_alone_looks_for_the_foreign_operator(tmp_path: Path, name: str) -> None:
    with pytest.raises(REFUSALS, match=r"evil\.ops"):
        onnxruntime.InferenceSession(armed(tmp_path, name), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("tag", [b"\xea\x80\x80\x80\x10", b"\xea\x80\x80\x80\x80\x00", b"\x00", b"\x80\x00"])
def test_a_tag_is_a_field_number_in_at_most_five_bytes(tmp_path: Path, tag: bytes) -> None:
    whole = vector_graph().SerializeToString()
    with pytest.raises(ArtifactError, match="no whole ONNX model"):
        check_onnx(_written(tmp_path / "model.onnx", whole + tag + b"\x00"))
    check_onnx(_written(tmp_path / "model.onnx", whole + b"\xea\x80\x80\x80\x00" + b"\x00"))


@pytest.mark.row("S16", "3,000 damaged files walked: refused or passed on, never a crash, a hang or another error")
def test_the_walk_survives_any_damage(tmp_path: Path, record_property: Record) -> None:
    chance = random.Random(16)
    whole = in_branch(vector_graph().graph).SerializeToString()
    path, refused = tmp_path / "model.onnx", 0
    check_onnx(_written(path, whole))
    for _ in range(3000):
        data = bytearray(whole[: chance.randint(1, len(whole))])
        for _ in range(chance.randint(0, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            check_onnx(_written(path, bytes(data)))
        except ArtifactError:
            refused += 1
    assert 1000 < refused < 3000
    record_property("S16", f"{refused} of 3,000 refused by the walk alone")


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_size_and_depth_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path / "model.onnx", vector_graph().SerializeToString())
    check_onnx(path)
    monkeypatch.setattr(onnxgate, "MAX_BYTES", 100)
    with pytest.raises(ArtifactError, match="bytes"):
        check_onnx(path)
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="is empty"):
        check_onnx(_written(path, b""))
    monkeypatch.setattr(onnxgate, "_MAX_DEPTH", 4)
    deep = vector_graph().graph
    for _ in range(6):
        deep = in_branch(deep).graph
    with pytest.raises(ArtifactError, match="no whole ONNX model"):
        check_onnx(_written(path, helper.make_model(deep).SerializeToString()))


def test_functions_of_the_models_own_are_known(tmp_path: Path) -> None:
    node = helper.make_node("Twice", ["x"], ["y"], domain="own")
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    function = helper.make_function("own", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets)
    check_onnx(_written(tmp_path / "model.onnx", model.SerializeToString()))
