"""The file of keys: what it says, what it refuses and in which words, and how a key that is presented is found."""

import hmac
import math
import re
from collections.abc import Callable

import pytest

from predictors.errors import KeysError
from predictors.server import keys
from predictors.server.keys import Limits, digest_of, line_of, new_key, read_keys

pytestmark = pytest.mark.unit

HASH = "sha256:" + "0f" * 32
OTHER = "sha256:" + "1e" * 32


def refused(text: str) -> str:
    with pytest.raises(KeysError) as caught:
        read_keys(text.encode())
    assert caught.value.hint
    return str(caught.value)


def test_a_key_is_256_random_bits_behind_a_word_that_scanners_know() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"podium_[A-Za-z0-9_-]{43}", key) for key in made)


def test_a_file_says_who_may_ask_and_how_much() -> None:
    one, two, three = new_key(), new_key(), new_key()
    ring = read_keys(
        "\n".join(
            [
                "# who may ask",
                "",
                line_of("vision", one, rate="50/s", in_flight="8", not_after="2027-06-30T00:00:00Z"),
                f"  {line_of('kitchen', two)}   # the kitchen's",
                line_of("vision", three, rate="50/s"),
            ]
        ).encode()
    )
    assert dict(ring.tenants) == {"vision": Limits(50.0, 8), "kitchen": Limits()}
    found = [ring.find(key) for key in (one, two, three)]
    assert [key and key.tenant for key in found] == ["vision", "kitchen", "vision"]
    assert [key and key.not_after for key in found] == [1814313600.0, math.inf, math.inf]
    assert ring.find(new_key()) is None


def test_a_limit_on_one_line_holds_for_all_keys_of_the_tenant() -> None:
    ring = read_keys(f"vision {HASH}\nvision {OTHER} rate=0.5/s in-flight=3".encode())
    assert ring.tenants["vision"] == Limits(0.5, 3)


def test_no_line_has_the_key_itself() -> None:
    key = new_key()
    line = line_of("vision", key)
    assert key not in line
    assert key.removeprefix("podium_") not in line
    assert digest_of(key).hex() in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no key"),
        ("# nobody\n", "has no key"),
        (f"vision {HASH}\nvision", "line 2 of the file of keys has no hash"),
        (f"Vision {HASH}", "line 1 of the file of keys does not begin with a tenant"),
        (f"{'x' * 64} {HASH}", "does not begin with a tenant"),
        (f"a,b {HASH}", "does not begin with a tenant"),
        ("vision 0f0f", "has no hash"),
        ("vision md5:" + "0f" * 16, "has no hash"),
        (f"vision {HASH.upper()}", "has no hash"),
        (f"vision {HASH} rate=50", "has a rate= that is none"),
        (f"vision {HASH} rate=0/s", "has a rate= that is none"),
        (f"vision {HASH} rate=-1/s", "has a rate= that is none"),
        (f"vision {HASH} rate=nan/s", "has a rate= that is none"),
        (f"vision {HASH} in-flight=0", "has an in-flight= that is no number"),
        (f"vision {HASH} in-flight=1.5", "has an in-flight= that is no number"),
        (f"vision {HASH} not-after=tomorrow", "has a not-after= that is no time"),
        (f"vision {HASH} not-after=2027-06-30", "has a not-after= that is no time"),
        (f"vision {HASH} not-after=2027-06-30T00:00:00+02:00", "has a not-after= that is no time"),
        (f"vision {HASH} burst=3", "says something unknown"),
        (f"vision {HASH} rate=1/s rate=1/s", "says something unknown, or twice"),
        (f"vision {HASH}\nkitchen {HASH}", "line 2 of the file of keys has the hash of a line before"),
        (
            f"vision {HASH} rate=1/s\nvision {OTHER} rate=2/s",
            "line 2 of the file of keys gives its tenant another limit",
        ),
        (f"vision {HASH}\u00a0rate=1/s", "is no ASCII text"),
        ("#" * (65 << 10), "is above 65536 bytes"),
        ("\n".join(f"vision sha256:{n:064x}" for n in range(257)), "more than 256 keys"),
        ("\n".join(f"t{n} sha256:{n:064x}" for n in range(65)), "or 64 tenants"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_and_never_repeated(text: str, said: str) -> None:
    sentence = refused(text)
    assert said in sentence
    assert "\n" not in sentence
    assert "0f0f" not in sentence


def test_a_key_in_the_place_of_its_hash_is_refused_without_a_word_of_it() -> None:
    key = new_key()
    for line in (f"vision {key}", f"{key} {HASH}", f"vision sha256:{key}", f"vision {HASH} rate={key}"):
        sentence = refused(line)
        assert "holds a key itself" in sentence
        assert key not in sentence
        assert key[10:20] not in sentence


@pytest.mark.parametrize(
    "words", [{"rate": "5"}, {"in_flight": "x"}, {"not_after": "soon"}, {"rate": "5/s in-flight=3"}]
)
def test_a_line_that_could_not_be_read_is_not_written(words: dict[str, str]) -> None:
    with pytest.raises(KeysError):
        line_of("vision", new_key(), **words)
    with pytest.raises(KeysError):
        line_of("a b", new_key())


def test_a_password_is_no_key_whatever_its_hash() -> None:
    """The control: what looks like a key is found by the same digest."""
    key = new_key()
    for presented in ("hunter2", "", key[:-1], f"{key}x", key.replace("podium_", "Podium_"), f" {key}", f"{key}\n"):
        ring = read_keys(f"vision sha256:{digest_of(presented).hex()}".encode())
        assert ring.find(presented) is None
    assert read_keys(f"vision sha256:{digest_of(key).hex()}".encode()).find(key) is not None


@pytest.mark.row("S10", "a key is found by its hash, and digests are compared in constant time")
def test_digests_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    key, seen = new_key(), []

    def compare(first: bytes, second: bytes) -> bool:
        seen.append((first, second))
        return hmac.compare_digest(first, second)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(keys, "hmac", Watched)
    ring = read_keys(line_of("vision", key).encode())
    assert ring.find(key) is not None
    assert seen == [(digest_of(key), digest_of(key))]
    # Whatever is no key of the file is told by the hash of it, which nobody steers.
    assert ring.find(new_key()) is None
    assert len(seen) == 1
    # The control: a digest that says it is equal and is not, as a set that took it for another would, is not believed.
    monkeypatch.setattr(Watched, "compare_digest", staticmethod(lambda first, second: False))
    assert ring.find(key) is None
    record_property("S10", "one comparison, by hmac.compare_digest")
