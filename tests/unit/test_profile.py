"""Load profiles: the packaged two are those of the contract, and every mistake is named with its line."""

from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from loadtest.errors import ProfileError
from loadtest.profile import Profile, load_profile, packaged_profiles, parse_profile

QUICK = (resources.files("loadtest") / "profiles" / "quick.yaml").read_text(encoding="utf-8")


def edited(old: str, new: str) -> str:
    assert QUICK.count(old) == 1
    return QUICK.replace(old, new)


def test_standard_is_that_of_the_contract() -> None:
    profile = load_profile("standard")
    assert profile.level == "standard"
    assert profile.confidence == 0.99
    assert profile.timeout_s == 2.0
    assert profile.budget_s == 1800.0
    assert profile.hold is not None
    assert (profile.hold.blocks, profile.hold.block_s, profile.hold.restart) == (5, 60.0, True)
    assert not profile.hold.stop_when_oversaturated
    assert profile.search is not None
    assert (profile.search.precision, profile.search.probe_s) == (0.05, 10.0)
    assert profile.warmup is not None
    assert profile.warmup.at_most_s == 20.0
    assert profile.single_stream is not None
    assert profile.single_stream.requests == 200
    assert profile.offline is not None
    assert profile.offline.length_s == 10.0
    limits = profile.thresholds
    assert (limits.lateness_p99_s, limits.achieved, limits.throttled) == (0.01, 0.99, 0.01)
    assert (limits.generator_cpu, limits.little, limits.component_sum) == (0.8, 0.1, 0.02)


def test_quick_is_that_of_the_contract() -> None:
    profile = load_profile("quick")
    assert profile.level == "quick"
    assert profile.confidence == 0.95
    assert profile.warmup is not None
    assert profile.warmup.at_most_s <= 5.0
    assert profile.single_stream is not None
    assert profile.single_stream.requests == 100
    assert profile.offline is not None
    assert profile.offline.length_s == 5.0
    assert profile.hold is not None
    assert (profile.hold.blocks, profile.hold.block_s) == (5, 10.0)
    assert not profile.hold.restart
    assert profile.hold.interleave == "abba"
    assert profile.hold.stop_when_oversaturated
    assert profile.search is not None
    assert (profile.search.precision, profile.search.probe_s, profile.search.probe_requests) == (
        0.1,
        5.0,
        100,
    )


def test_every_packaged_profile_is_called_as_its_file() -> None:
    elastic = {"bursts", "diurnal", "ramp", "spike", "staircase", "step"}
    assert set(packaged_profiles()) == {"constant", "quick", "quick-grpc", "standard"} | elastic
    for name in packaged_profiles():
        assert load_profile(name).name == name


@pytest.mark.parametrize("name", packaged_profiles())
def test_a_written_profile_reads_back_the_same(name: str) -> None:
    profile = load_profile(name)
    again = parse_profile(yaml.safe_dump(profile.model_dump(by_alias=True)), "again.yaml")
    assert again == profile
    assert again.digest == profile.digest


def test_the_digest_follows_the_meaning_and_not_the_spelling() -> None:
    profile = load_profile("quick")
    assert parse_profile(edited("utilization: 0.7\n", ""), "a").digest == profile.digest
    assert parse_profile(edited("for: 5s", "for: 5000ms"), "a").digest == profile.digest
    assert parse_profile(edited("for: 5s", "for: 6s"), "a").digest != profile.digest
    assert len(profile.digest) == 64


def test_a_profile_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "night.yaml"
    file.write_text(edited("name: quick", "name: night"), encoding="utf-8")
    assert load_profile(file).name == "night"
    assert load_profile(str(file)) == load_profile(file)


def test_a_phase_that_is_left_out_is_none() -> None:
    text = "\n".join(line for line in QUICK.splitlines() if "{kind:" not in line or "kind: hold" in line)
    profile = parse_profile(text, "hold.yaml")
    assert profile.hold is not None
    assert (profile.warmup, profile.single_stream, profile.offline, profile.search) == (None,) * 4


def test_a_poisson_block_holds_one_batch_at_low_rates() -> None:
    hold = load_profile("quick").hold
    assert hold is not None
    assert hold.block_seconds(1000) == 10.0
    assert hold.block_seconds(40) == pytest.approx(11.2)
    assert hold.model_copy(update={"arrivals": "constant"}).block_seconds(20) == pytest.approx(20.0)


def test_a_probe_lasts_its_seconds_or_its_requests_whichever_is_longer() -> None:
    search = load_profile("quick").search
    assert search is not None
    assert search.probe_seconds(200) == 5.0
    assert search.probe_seconds(4) == 25.0


MISTAKES = [
    ("for: 5s", "for: 5", 11, "phases.2.for: 5 is not a duration", "quick"),
    ("for: 5s", "fro: 5s", 11, "phases.2: unknown key 'fro'", "did you mean for?"),
    ("offline, for: 5s", "offline", 11, "phases.2.for: it is missing", "add the key for"),
    ("kind: hold, ", "", 12, "a phase needs a kind, one of warmup", "kind: hold"),
    ("kind: hold", "kind: ramp", 12, "a phase needs a kind, one of warmup", "kind: hold"),
    ("confidence: 0.95", "confidence: 0.9", 2, "level quick needs confidence of at least 0.95", "quick"),
    ("level: quick", "level: standard", 2, "raise confidence or write level: quick", "quick"),
    ("level: quick", "level: fast", 3, "level: Input should be 'standard' or 'quick'", "quick"),
    ("timeout: 2s", "timeout: 0s", 6, "timeout: Input should be greater than 0", "quick"),
    ("timeout: 2s", "timeout: 25h", 6, "timeout: Input should be less than or equal to", "quick"),
    ("timeout: 2s\n", "", 2, "timeout: it is missing", "add the key timeout"),
    ("timeout: 2s", "timeout: 2s\ntimeout: 3s", 7, "the key 'timeout' stands twice", "keep one"),
    ("share: 1.0", "share: 0.5", 4, "the shares of mix sum to 0.5", "quick"),
    ("dir: .", "dir: /etc", 4, "leaves the payload folder", "quick"),
    ("dir: .", "dir: ../x", 4, "leaves the payload folder", "quick"),
    ("kind: offline, for: 5s", "kind: single-stream, requests: 5", 2, "holds single-stream 2 times", "quick"),
    ("blocks: 5", "blocks: 0", 12, "phases.3.blocks: Input should be greater", "quick"),
    ("blocks: 5", "blocks: true", 12, "phases.3.blocks: Input should be a valid integer", "quick"),
    ("precision: 10%", "precision: 0%", 13, "phases.4.precision: Input should be greater than 0", "quick"),
    ("precision: 10%", "precision: 10", 13, "phases.4.precision: Input should be less", "quick"),
    ("atMost: 5s", "at_most_s: 5s", 9, "phases.0: unknown key 'at_most_s'", "did you mean atMost?"),
    ("littl" + "e: 0.10", "litle: 0.10", 16, "thresholds: unknown key 'litle'", "did you mean little?"),
    ("name: quick", "name: Quick", 2, "name: String should match pattern", "quick"),
]


@pytest.mark.parametrize(("old", "new", "line", "problem", "hint"), MISTAKES)
def test_a_mistake_is_named_with_line_key_and_remedy(old: str, new: str, line: int, problem: str, hint: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(edited(old, new), "my.yaml")
    assert caught.value.place == f"my.yaml:{line}"
    assert str(caught.value).startswith(f"my.yaml:{line}: ")
    assert problem in str(caught.value)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1\n", "just text"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ProfileError, match=r"is empty|must be one mapping of keys to values") as caught:
        parse_profile(text, "my.yaml")
    assert "quick.yaml" in caught.value.hint


def test_a_profile_that_cannot_be_read_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("#" * 70_000, encoding="utf-8")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for name, problem, hint in [
        ("fast", "no such profile", ", ".join(packaged_profiles())),
        (str(tmp_path), "no such profile", ", ".join(packaged_profiles())),
        (str(tmp_path / "big.yaml"), "larger than 64 KiB", "short"),
        (str(tmp_path / "bytes.yaml"), "is not UTF-8 text", "save"),
        ("a\0b", "no such profile", ", ".join(packaged_profiles())),
    ]:
        with pytest.raises(ProfileError, match=problem) as caught:
            load_profile(name)
        assert hint in caught.value.hint


@pytest.mark.parametrize("name", packaged_profiles())
def test_the_schema_accepts_the_packaged_profiles_as_they_are_written(name: str) -> None:
    text = (resources.files("loadtest") / "profiles" / f"{name}.yaml").read_text(encoding="utf-8")
    jsonschema.validate(yaml.safe_load(text), Profile.model_json_schema(by_alias=True))


@pytest.mark.parametrize(
    ("old", "new"),
    [(m[0], m[1]) for m in MISTAKES if m[3].startswith(("phases.", "thresholds.")) and m[1] != "precision: 0%"],
)
def test_the_schema_refuses_what_the_reader_refuses(old: str, new: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(edited(old, new)), Profile.model_json_schema(by_alias=True))


ELASTIC = (resources.files("loadtest") / "profiles" / "bursts.yaml").read_text(encoding="utf-8")
STAGE = "{rate: 100%, for: 60s, arrivals: gamma, cv: 3}"


def test_the_steady_profiles_are_called_as_they_were_before_there_were_others() -> None:
    profile = load_profile("quick")
    document = profile.model_dump(mode="json", by_alias=True)
    assert (document.pop("stages"), document.pop("trace")) == ([], None)
    assert not profile.is_elastic
    bursts = parse_profile(ELASTIC, "a")
    assert bursts.is_elastic
    assert parse_profile(ELASTIC.replace("cv: 3", "cv: 4"), "a").digest != bursts.digest


def test_a_stage_has_rates_of_its_own_or_shares_of_the_asked_one() -> None:
    text = ELASTIC.replace(STAGE, "{rate: 50%, to: 30/s, for: 60s}")
    (stage,) = parse_profile(text, "a").stages
    assert stage.is_relative
    assert stage.rates(40.0) == (20.0, 30.0)
    (flat,) = parse_profile(ELASTIC.replace(STAGE, "{rate: 12.5/s, for: 60s}"), "a").stages
    assert not flat.is_relative
    assert flat.rates(40.0) == (12.5, 12.5)


def test_a_trace_is_a_file_or_a_file_with_its_scales() -> None:
    for written in ("day.txt", "{file: day.txt, speed: 1.0}"):
        profile = parse_profile(ELASTIC.replace(f"stages:\n  - {STAGE}", f"trace: {written}"), "a")
        assert profile.trace is not None
        assert (profile.trace.file, profile.trace.speed, profile.trace.rate) == ("day.txt", 1.0, 1.0)


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("{rate: 100, for: 60s}", "stages.0.rate"),
        ("{rate: 100 %, for: 60s}", "stages.0.rate"),
        ("{rate: 10/s, to: fast, for: 60s}", "stages.0.to"),
        ("{rate: 10/s}", "stages.0.for: it is missing"),
        ("{rate: 10/s, for: 60s, cv: 3}", "poisson arrivals take none"),
        ("{rate: 10/s, for: 60s, arrivals: gamma, cv: 0}", "stages.0.cv"),
        (f"{STAGE}\ntrace: day.txt", "keep one of them"),
        (f"{STAGE}\ntrace: {{file: day.txt, speed: 0}}", "trace.speed"),
    ],
)
def test_a_mistake_in_a_stage_is_named(new: str, problem: str) -> None:
    with pytest.raises(ProfileError, match=problem):
        parse_profile(ELASTIC.replace(STAGE, new), "my.yaml")


def test_a_hold_needs_a_steady_rate() -> None:
    hold = "  - {kind: hold, blocks: 5, block: 10s}\nstages:"
    with pytest.raises(ProfileError, match="hold needs a steady one"):
        parse_profile(ELASTIC.replace("stages:", hold), "my.yaml")
