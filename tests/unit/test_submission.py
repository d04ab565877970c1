import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.errors import SubmissionError
from podium.submission import KEYS, load_submission
from tests.submissions import GOOD, write_submission

QUALITY = '    podium.dev/quality: "accuracy>=0.85, drop<=0.01"\n'


def refusal(path: Path, models_dir: Path = Path("models")) -> tuple[str, str]:
    """Return the sentence without its file, and the hint."""
    with pytest.raises(SubmissionError) as refused:
        load_submission(path, models_dir)
    sentence = str(refused.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return sentence.removeprefix(str(path)), refused.value.hint


def test_a_good_submission_is_read_whole(tmp_path: Path) -> None:
    path = write_submission(
        tmp_path,
        ('"auto"', '"ort-*, openvino-int8"'),
        (
            "spec:",
            "    podium.dev/profile: quick\n    podium.dev/budget: 1h30m\n    podium.dev/incumbent: none\nspec:",
        ),
    )
    found = load_submission(path)
    assert found.name == "food11"
    assert found.path == path
    assert str(found.slo) == "p99<=100ms, errors<=1%, rate>=40/s"
    assert found.slo.rate == 40.0
    assert str(found.quality) == "accuracy>=0.85, drop<=0.01"
    assert found.variants == ("ort-*", "openvino-int8")
    assert found.node_classes == ("epyc", "a100")
    assert found.profile == "quick"
    assert found.budget_s == 5400.0
    assert found.incumbent == "none"
    assert found.model_format == "pytorch"
    assert found.storage_uri == "file://models/food11"
    assert found.model_folder == tmp_path / "models" / "food11"


def test_what_was_read_is_kept_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    path = write_submission(tmp_path)
    found = load_submission(path)
    path.unlink()
    assert found.source == GOOD


def test_what_is_not_said_has_the_default_of_the_contract(tmp_path: Path) -> None:
    slo_only = GOOD.replace(QUALITY, "")
    slo_only = "\n".join(line for line in slo_only.splitlines() if "variants" not in line and "classes" not in line)
    found = load_submission(write_submission(tmp_path, text=slo_only))
    assert str(found.quality) == "drop<=0.01"
    assert (found.variants, found.node_classes) == ((), ())
    assert (found.profile, found.budget_s, found.incumbent) == (None, None, None)


def test_annotations_of_others_and_kserve_fields_pass_through(tmp_path: Path) -> None:
    path = write_submission(
        tmp_path,
        (
            "  annotations:\n",
            "  labels: {team: vision}\n  annotations:\n    serving.kserve.io/deploymentMode: Standard\n",
        ),
        (
            "    model:\n",
            "    minReplicas: 1\n    tolerations: []\n    model:\n      resources: {limits: {cpu: 1}}\n",
        ),
    )
    assert load_submission(path).text["slo"] == "p99<=100ms, errors<=1%, rate>=40/s"


@pytest.mark.parametrize(
    ("old", "new", "place", "fault", "remedy"),
    [
        (
            "podium.dev/slo",
            "podium.dev/slos",
            ":6",
            "unknown annotation 'podium.dev/slos'",
            "podium.dev/slo?",
        ),
        (
            "podium.dev/variants",
            "podium.dev/zzz",
            ":8",
            "unknown annotation 'podium.dev/zzz'",
            "known: budget",
        ),
        ("podium.dev/slo", "podum.dev/slo", ":6", "unknown annotation 'podum.dev/slo'", "podium.dev/slo?"),
        ("podium.dev/slo", "podium/slo", ":6", "unknown annotation 'podium/slo'", "podium.dev/slo?"),
        ("40/s", "40", ":6", "the unit is missing", "rate>=40/s"),
        ("p99<=100ms", "p99<=100", ":6", "the unit is missing", "p99<=100ms"),
        ("p99<=100ms", "p99 below 100ms", ":6", "cannot be read", "p99<=100ms"),
        ("p99<=100ms", "p98<=100ms", ":6", 'no metric "p98"', "p99<=100ms"),
        (", rate>=40/s", "", ":6", "no rate clause", "rate>=40/s"),
        ("rate>=40/s", "rate>=0/s", ":6", "a rate must be finite", "rate>=40/s"),
        ("rate>=40/s", "rate>=-1/s", ":6", "a rate must be finite", "rate>=40/s"),
        ("rate>=40/s", "rate>=inf/s", ":6", "a rate must be finite", "rate>=40/s"),
        ("rate>=40/s", "rate>=nan/s", ":6", "a rate must be finite", "rate>=40/s"),
        ("rate>=40/s", "rate>=20001/s", ":6", "at most 20,000/s", "rate>=40/s"),
        ("drop<=0.01", "drop<=1%", ":7", "bare number", "drop<=0.01"),
        ('"auto"', '"auto, ort-*"', ":8", "mixes auto with patterns", "ort-*"),
        ('"auto"', '"ort fp32"', ":8", "'ort fp32' is not accepted", "ort-*"),
        ('"auto"', '"ort-*,"', ":8", "'' is not accepted", "ort-*"),
        ('"auto"', '"ort-*, ort-*"', ":8", "stands twice", "once"),
        ('"auto"', "5", ":8", "must be text", 'podium.dev/variants: "5"'),
        ('"auto"', "true", ":8", "must be text", 'podium.dev/variants: "true"'),
        ('"auto"', "[auto]", ":8", "must be text", "quotes"),
        ('"auto"', '""', ":8", "must be text, and is empty", "quotes"),
        ("epyc,a100", "epyc,much-too-long", ":9", "'much-too-long' is not accepted", "epyc,a100"),
        ("epyc,a100", "epyc,epyc", ":9", "'epyc' stands twice", "once"),
        ("name: food11", "name: Food11", ":4", "the name 'Food11' is not accepted", "lower-case"),
        ("name: food11", f"name: {'f' * 48}", ":4", "is not accepted", "at most 47"),
        ("name: food11", "name: 11", ":4", "metadata.name must be text", "quotes"),
        ("  name: food11\n", "", ":3", "metadata.name is missing", "examples/food11.yaml"),
        ("  name: food11\n", "  namee: food11\n", ":4", "unknown key 'namee' in metadata", "name?"),
        ("kind: InferenceService", "kind: Deployment", ":2", "kind is 'Deployment'", "write kind: InferenceService"),
        (
            "v1beta1",
            "v1alpha1",
            ":1",
            "must be serving.kserve.io/v1beta1",
            "write apiVersion: serving.kserve.io/v1beta1",
        ),
        ("spec:", "spce:", ":10", "unknown key 'spce'", "spec?"),
        ("spec:", "spec:\n  transformer: {}", ":11", "not a transformer", "remove spec.transformer"),
        ("  predictor:", "  predictr:", ":11", "unknown key 'predictr' in spec", "predictor"),
        (
            "    model:",
            "    pytorch: {}\n    model:",
            ":12",
            "the old form spec.predictor.pytorch",
            "modelFormat",
        ),
        ("    model:", "    replicas: 1\n    model:", ":12", "unknown key 'replicas'", "minReplicas"),
        ("storageUri", "storageURI", ":14", "unknown key 'storageURI'", "storageUri?"),
        ("      storageUri: file://models/food11\n", "", ":12", "storageUri is missing", "examples/food11.yaml"),
        (
            "      storageUri",
            "      storage: {}\n      storageUri",
            ":14",
            "storage is not read",
            "storageUri",
        ),
        ("name: pytorch", "name: torch", ":13", "'torch' cannot be raced", "pytorch?"),
        ("{name: pytorch}", "pytorch", ":13", "must hold keys", "examples/food11.yaml"),
        ("file://models/food11", "file://models/none", ":14", "which does not exist", "model.yaml"),
        (
            "file://models/food11",
            "oci://models/food11",
            ":14",
            "cannot be read by the local target",
            "file://",
        ),
        ("file://models/food11", "models/food11", ":14", "is not a URI", "file://"),
    ],
)
def test_a_fault_is_named_with_its_line_and_a_remedy(
    tmp_path: Path, old: str, new: str, place: str, fault: str, remedy: str
) -> None:
    sentence, hint = refusal(write_submission(tmp_path, (old, new)))
    assert sentence.startswith(f"{place}: ")
    assert fault in sentence
    assert remedy in hint


def test_a_name_may_have_47_characters(tmp_path: Path) -> None:
    assert len(load_submission(write_submission(tmp_path, ("name: food11", f"name: {'f' * 47}"))).name) == 47


def test_the_remedy_is_that_of_what_could_not_be_read(tmp_path: Path) -> None:
    _, hint = refusal(write_submission(tmp_path, ("spec:", "    podium.dev/budget: soon\nspec:")))
    assert hint == "write a number with a unit: 500ms, 30s, 5m, 1h30m"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("podium.dev/budget: 5m0", "'5m0' is not a duration"),
        ('podium.dev/budget: "5"', "'5' has no unit"),
        ("podium.dev/budget: 0s", "'0s' is not between"),
        ("podium.dev/profile: nights/none.yaml", "is no profile's name and no file"),
        ("podium.dev/profile: Quick", "is no profile's name and no file"),
        ("podium.dev/incumbent: Food 11", "is not a variant's id"),
    ],
)
def test_optional_annotations_are_checked_too(tmp_path: Path, line: str, fault: str) -> None:
    sentence, hint = refusal(write_submission(tmp_path, ("spec:", f"    {line}\nspec:")))
    assert sentence.startswith(":10: podium.dev/")
    assert fault in sentence
    assert hint


def test_a_profile_file_is_found_beside_the_submission(tmp_path: Path) -> None:
    (tmp_path / "night.yaml").touch()
    path = write_submission(tmp_path, ("spec:", "    podium.dev/profile: night.yaml\nspec:"))
    assert load_submission(path).profile == str(tmp_path / "night.yaml")


def test_without_annotations_the_slo_is_what_is_missing(tmp_path: Path) -> None:
    lines = [line for line in GOOD.splitlines() if "annotations" not in line and "podium.dev" not in line]
    sentence, hint = refusal(write_submission(tmp_path, text="\n".join(lines)))
    assert sentence == ":3: the annotation podium.dev/slo is missing"
    assert "p99<=100ms" in hint


@pytest.mark.parametrize(
    ("old", "place"),
    [("  annotations:\n", "metadata.labels"), ("    model:\n", "spec.predictor.annotations")],
)
def test_our_annotations_elsewhere_would_be_ignored_and_are_refused(tmp_path: Path, old: str, place: str) -> None:
    key = place.rpartition(".")[2]
    indent = " " * (len(old) - len(old.lstrip()))
    sentence, hint = refusal(write_submission(tmp_path, (old, f"{indent}{key}: {{podium.dev/budget: 5m}}\n{old}")))
    assert f"podium.dev/budget stands in {place}" in sentence
    assert hint == "move it to metadata.annotations"


def test_a_claim_is_resolved_below_the_models_folder(tmp_path: Path) -> None:
    (tmp_path / "shared" / "claim").mkdir(parents=True)
    path = write_submission(tmp_path, ("file://models/food11", "pvc://claim"))
    found = load_submission(path, tmp_path / "shared")
    assert found.model_folder == tmp_path / "shared" / "claim"
    assert "does not exist" in refusal(path, tmp_path / "elsewhere")[0]


def test_every_key_of_the_contract_has_an_example_that_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "night.yaml").touch()
    for name, example in KEYS.items():
        value = example.split(": ", 1)[1].split('"')[1]
        lines = [line for line in GOOD.splitlines() if f"podium.dev/{name}:" not in line]
        lines.insert(5, f'    podium.dev/{name}: "{value}"')
        assert load_submission(write_submission(tmp_path, text="\n".join(lines))).text[name] == value


_METRICS = st.sampled_from(["p50", "p90", "p95", "p99", "p99.9"])
_LATENCY = st.tuples(_METRICS, st.integers(1, 60_000)).map(lambda pair: f"{pair[0]}<={pair[1]}ms")
_SPACES = st.sampled_from(["", " ", "  "])


@given(_LATENCY, st.integers(1, 20_000), st.integers(1, 100), _SPACES)
def test_every_slo_of_the_grammar_is_accepted_and_written_back(
    tmp_path_factory: pytest.TempPathFactory, latency: str, rate: int, errors: int, space: str
) -> None:
    slo = f"{latency}{space},{space}errors<={errors}%{space}, rate>={rate}/s"
    path = write_submission(tmp_path_factory.mktemp("slo"), ("p99<=100ms, errors<=1%, rate>=40/s", slo))
    found = load_submission(path)
    assert found.slo.rate == rate
    assert str(found.slo) == f"{latency}, errors<={errors}%, rate>={rate}/s"


@given(st.text(st.characters(exclude_characters='"\\\n\r', exclude_categories=["Cc", "Cs"]), max_size=30))
def test_no_slo_text_ends_in_anything_but_an_slo_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = write_submission(tmp_path_factory.mktemp("slo"), ("p99<=100ms, errors<=1%, rate>=40/s", text))
    with contextlib.suppress(SubmissionError):
        assert load_submission(path).slo.rate
