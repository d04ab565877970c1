"""The plan of a race: what is refused before anything starts, and what makes two races the same."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from loadtest.errors import ProfileError
from podium.errors import ConfigError, MachineError, QuantityError, SubmissionError
from podium.nodeclass import load_node_class
from podium.plan import RacePlan, RaceSite, plan_race
from predictors.errors import BuildError, CardError, DataError, SourceError
from tests.sources import card_text, mnist_source, stripes_graph, stripes_source
from tests.submissions import GOOD, write_submission

TEXT = (
    GOOD.replace("name: food11", "name: stripes")
    .replace("models/food11", "models/stripes")
    .replace("name: pytorch", "name: onnx")
    .replace('    podium.dev/node-classes: "epyc,a100"\n', "")
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stripes_source(tmp_path_factory.mktemp("source"))


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    shutil.copytree(source, tmp_path / "models" / "stripes")
    return tmp_path


def planned(folder: Path, *changes: tuple[str, str], **options: object) -> RacePlan:
    path = write_submission(folder, *changes, text=TEXT)
    places: dict[str, object] = {"runs": folder / "runs", "store": folder / "store"}
    return plan_race(path, **(places | options))  # type: ignore[arg-type]


def test_a_plan_is_complete(folder: Path) -> None:
    found = planned(folder, profile="quick")
    assert [recipe.variant_id for recipe in found.recipes] == [
        "stripes-ort-fp32",
        "stripes-ort-int8",
        "stripes-openvino-int8",
    ]
    assert (found.rate, found.cpus, found.target, found.first_port) == (40, 1, "local", 18080)
    assert (found.profile.name, found.node_class.name, found.card.name) == ("quick", "local", "stripes")
    assert (found.runs, found.store) == (folder / "runs", folder / "store")
    assert found.budget_s == 720
    assert found.seconds == min(720, found.estimate.seconds)
    holds = next(phase for phase in found.estimate.phases if phase.kind == "hold")
    assert holds.plays == 15
    assert len(found.digest) == len(found.source_digest) == 64
    assert len(found.notes) == 1
    assert "functional and relative" in found.notes[0]


def test_planning_creates_nothing(folder: Path) -> None:
    path = write_submission(folder, text=TEXT)
    before = {entry.relative_to(folder) for entry in folder.rglob("*")}
    plan_race(path, runs=folder / "runs", store=folder / "deep" / "store")
    assert {entry.relative_to(folder) for entry in folder.rglob("*")} == before


def test_what_is_not_said_is_the_packages_word(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_STORE", str(folder / "named"))
    found = planned(folder, store=None)
    assert (found.profile.name, found.budget_s, found.store) == ("standard", 1800, folder / "named")


def test_the_command_line_goes_before_the_submission_and_that_before_the_profile(folder: Path) -> None:
    asked = ("spec:", "    podium.dev/profile: quick\n    podium.dev/budget: 7m\nspec:")
    found = planned(folder, asked)
    assert (found.profile.name, found.budget_s) == ("quick", 420)
    found = planned(folder, asked, profile="standard", budget="90s", first_port=20000)
    assert (found.profile.name, found.budget_s, found.first_port) == ("standard", 90, 20000)
    assert found.seconds == 90


def test_only_the_variants_that_were_asked_for_are_planned(folder: Path) -> None:
    found = planned(folder, ('"auto"', '"ort-*"'))
    assert [recipe.variant_id for recipe in found.recipes] == ["stripes-ort-fp32", "stripes-ort-int8"]
    all_of = planned(folder)
    assert all_of.estimate.requests == pytest.approx(found.estimate.requests * 1.5, rel=0.01)


def serving(incumbent: str) -> Callable[[object], RaceSite]:
    return lambda _submission: RaceSite((load_node_class("local"),), context="kind-podium", incumbent=incumbent)


def test_a_race_on_a_cluster_is_planned_with_what_its_paths_take(folder: Path) -> None:
    site = serving("")
    here, there = (planned(folder, profile="quick", target=target, site=site) for target in ("local", "cluster"))
    kinds = [phase.kind for phase in here.estimate.phases]
    assert "proxy-tax" not in kinds
    assert [phase.kind for phase in there.estimate.phases] == [*kinds, "proxy-tax"]
    assert there.estimate.seconds - here.estimate.seconds == pytest.approx(there.estimate.phases[-1].seconds)
    assert here.digest == there.digest


def test_what_serves_now_races_too_unless_it_is_left_out(folder: Path) -> None:
    asked = ('"auto"', '"ort-fp32"')
    site = serving("stripes-openvino-int8")
    found = planned(folder, asked, site=site)
    assert [recipe.variant_id for recipe in found.recipes] == ["stripes-ort-fp32", "stripes-openvino-int8"]
    assert (found.submission.incumbent, found.notes) == (
        "stripes-openvino-int8",
        ("the incumbent stripes-openvino-int8 races too",),
    )
    without = planned(folder, asked, ("spec:", "    podium.dev/incumbent: none\nspec:"), site=site)
    assert ([recipe.variant_id for recipe in without.recipes], without.notes) == (["stripes-ort-fp32"], ())
    assert planned(folder, asked, site=serving("stripes-ort-fp32")).notes == ()
    other = planned(folder, asked, site=serving("food11-ort-fp32"))
    assert [recipe.variant_id for recipe in other.recipes] == ["stripes-ort-fp32"]
    assert other.notes == ("the incumbent food11-ort-fp32 is no variant of stripes and does not race",)


def test_node_classes_that_the_local_target_ignores_are_noted(folder: Path) -> None:
    found = planned(folder, ("spec:", '    podium.dev/node-classes: "epyc,a100"\nspec:'))
    assert found.notes[1] == "node classes epyc, a100 are ignored here: the local target's class is 'local'"


def _card(text: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "models" / "stripes" / "model.yaml").write_text(text)

    return spoil


def _no_data(folder: Path) -> None:
    shutil.rmtree(folder / "models" / "stripes" / "data" / "test")


def _no_graph(folder: Path) -> None:
    (folder / "models" / "stripes" / "model.onnx").unlink()


def _other_inputs(folder: Path) -> None:
    onnx.save(stripes_graph("pixels"), folder / "models" / "stripes" / "model.onnx")


@pytest.mark.parametrize(
    ("spoil", "error", "sentence"),
    [
        (_card("name: [1"), CardError, "is not YAML"),
        (_card(card_text(labels=None)), CardError, "labels"),
        (_card(card_text(data={"loader": "predictors.models.nothing"})), CardError, "nothing"),
        (_no_graph, SourceError, "model.onnx"),
        (_other_inputs, SourceError, "pixels"),
        (_no_data, DataError, "test"),
    ],
)
def test_a_model_that_cannot_race_is_refused(
    folder: Path, spoil: Callable[[Path], None], error: type[Exception], sentence: str
) -> None:
    planned(folder)
    spoil(folder)
    with pytest.raises(error, match=sentence):
        planned(folder)


def test_a_model_of_another_format_than_the_submission_says_is_refused(folder: Path) -> None:
    with pytest.raises(SubmissionError) as refused:
        planned(folder, ("name: onnx", "name: pytorch"))
    assert str(refused.value).endswith(
        "modelFormat is 'pytorch', and the model card of stripes describes a model of format 'onnx'"
    )
    assert refused.value.hint == "write modelFormat: {name: onnx}"


def test_a_pytorch_model_is_planned_with_its_engine(tmp_path: Path) -> None:
    mnist_source(tmp_path / "models" / "stripes")
    found = planned(tmp_path, ("name: onnx", "name: pytorch"))
    assert "mnist-torch-fp32" in [recipe.variant_id for recipe in found.recipes]
    with pytest.raises(SubmissionError) as refused:
        planned(tmp_path)
    assert refused.value.hint == "write modelFormat: {name: pytorch}"


def test_a_pattern_that_fits_no_variant_is_refused(folder: Path) -> None:
    with pytest.raises(BuildError, match=r"no variant of stripes fits the pattern 'torch-\*'"):
        planned(folder, ('"auto"', '"torch-*"'))


def test_a_profile_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ProfileError, match="fast: there is no such profile"):
        planned(folder, profile="fast")


@pytest.mark.parametrize("budget", ["soon", "5", "0s", ""])
def test_a_budget_that_is_no_duration_is_refused_by_its_name(folder: Path, budget: str) -> None:
    with pytest.raises(QuantityError, match=f"^--budget: '{budget}' ") as refused:
        planned(folder, budget=budget)
    assert refused.value.hint


def test_a_submission_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(SubmissionError):
        plan_race(folder / "none.yaml", runs=folder / "runs", store=folder / "store")


@pytest.mark.parametrize(("place", "needed"), [("store", 400), ("runs", 64)])
def test_a_disk_without_room_is_refused(folder: Path, place: str, needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / place).mkdir()
    free = {folder / place: (needed << 20) - 1}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free.get(Path(path), 1 << 40)))
    with pytest.raises(MachineError) as refused:
        planned(folder)
    assert str(refused.value) == (
        f"The disk of {folder / place} has {needed - 1} MiB free, and a race needs {needed} MiB there"
    )
    assert "free some space" in refused.value.hint
    free[folder / place] += 1
    planned(folder)


@pytest.mark.parametrize("place", ["store", "runs"])
def test_a_folder_below_a_file_is_refused(folder: Path, place: str) -> None:
    (folder / "file").write_text("")
    with pytest.raises(MachineError) as refused:
        planned(folder, **{place: folder / "file" / "deep" / "er"})
    assert str(refused.value) == f"{folder / 'file'} cannot be written to"
    assert refused.value.hint == "make it writable, or choose another folder"


@contextmanager
def as_somebody() -> Iterator[None]:
    """Let the kernel ask about the rights of a user that is not root."""
    is_root = os.getuid() == 0
    if is_root:
        os.setreuid(65534, -1)
    try:
        yield
    finally:
        if is_root:
            os.setreuid(0, -1)


def test_a_folder_without_the_right_to_write_is_refused(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        (Path(name) / "locked").mkdir(mode=0o555)
        with as_somebody():
            planned(folder, runs=Path(name) / "runs", store=Path(name))
            with pytest.raises(MachineError, match="locked cannot be written to"):
                planned(folder, runs=Path(name) / "locked" / "runs", store=Path(name))


def test_a_relative_folder_is_looked_up_from_where_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "file").write_text("")
    planned(folder, runs=Path("runs"))
    with pytest.raises(MachineError):
        planned(folder, runs=Path("file/runs"))


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ((), {"budget": "1m"}),
        ((), {"first_port": 20000}),
        ((), {"runs": Path("elsewhere")}),
        ((("storageUri", "# a comment\n      storageUri"),), {}),
    ],
)
def test_what_changes_no_figure_leaves_the_digest(
    folder: Path, changes: tuple[tuple[str, str], ...], options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = planned(folder, profile="quick")
    assert planned(folder, *changes, **{"profile": "quick", **options}).digest == before.digest


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ((("p99<=100ms", "p99<=90ms"),), {}),
        ((("rate>=40/s", "rate>=41/s"),), {}),
        ((("drop<=0.01", "drop<=0.02"),), {}),
        ((("name: stripes", "name: other"),), {}),
        ((('"auto"', '"ort-*"'),), {}),
        ((), {"profile": "standard"}),
    ],
)
def test_what_changes_a_figure_changes_the_digest(
    folder: Path, changes: tuple[tuple[str, str], ...], options: dict[str, object]
) -> None:
    before = planned(folder, profile="quick")
    assert planned(folder, *changes, **{"profile": "quick", **options}).digest != before.digest


def test_another_source_is_another_race(folder: Path) -> None:
    before = planned(folder)
    onnx.save(stripes_graph(shift=1.0), folder / "models" / "stripes" / "model.onnx")
    after = planned(folder)
    assert after.source_digest != before.source_digest
    assert after.digest != before.digest


def test_the_estimate_is_cut_at_the_budget_and_not_below_it(folder: Path) -> None:
    found = planned(folder, profile="quick", budget="10h")
    assert found.seconds == found.estimate.seconds < 36000


def test_a_rate_so_low_that_one_block_outlasts_the_budget_is_refused(folder: Path) -> None:
    low = ("rate>=40/s", "rate>=0.5/s")
    with pytest.raises(ConfigError, match=r"one block of the hold lasts 14m56s at 0\.5/s, .* is 12m") as refused:
        planned(folder, low, profile="quick")
    assert "--budget" in refused.value.hint
    assert planned(folder, low, profile="quick", budget="15m").budget_s == 900


@pytest.mark.parametrize("protocol", ["v1-json", "v2-json"])
def test_a_profile_whose_requests_a_race_cannot_make_is_refused_before_anything_is_built(
    folder: Path, protocol: str
) -> None:
    quick = (resources.files("loadtest") / "profiles" / "quick.yaml").read_text(encoding="utf-8")
    (folder / "other.yaml").write_text(quick.replace("protocol: v1-image", f"protocol: {protocol}"), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"sends {protocol}, and a race makes its requests of the model's") as refused:
        planned(folder, profile=str(folder / "other.yaml"))
    assert refused.value.hint == "write protocol: v1-image in the profile"
