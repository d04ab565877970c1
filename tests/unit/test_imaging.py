"""Image preprocessing: exact arithmetic, geometry, and what is refused before a pixel is decoded."""

import hashlib
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from predictors import imaging
from predictors.errors import CardError, InputError
from predictors.imaging import MAX_SIDE, Preprocessing, implementation_hash, preprocessing

FOOD = preprocessing("imagenet-center-crop")
DIGITS = preprocessing("mnist-28")
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def scene(width: int, height: int) -> Image.Image:
    """A smooth picture whose color tells the place: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 128)], axis=-1).astype(np.uint8))


def pixels(tensor: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Undo the normalization of food images: 0 to 255, channels last."""
    result: npt.NDArray[np.float64] = (tensor.transpose(1, 2, 0).astype(np.float64) * STD + MEAN) * 255
    return result


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (10, 100, 200)])
def test_one_color_becomes_the_normalized_value_of_each_channel(color: tuple[int, int, int]) -> None:
    tensor = FOOD(Image.new("RGB", (224, 224), color))
    assert tensor.dtype == np.float32
    assert tensor.shape == (3, 224, 224)
    assert tensor.flags.c_contiguous
    expected = (np.array(color) / 255 - MEAN) / STD
    np.testing.assert_allclose(tensor, np.broadcast_to(expected[:, None, None], tensor.shape), rtol=1e-5, atol=1e-5)


def test_digits_are_gray_and_normalized_as_the_network_was_trained() -> None:
    tensor = DIGITS(Image.new("RGB", (28, 28), (255, 255, 255)))
    assert tensor.shape == (1, 28, 28)
    np.testing.assert_allclose(tensor, (1 - 0.1307) / 0.3081, rtol=1e-5)


@pytest.mark.parametrize(("width", "height"), [(400, 300), (300, 400), (224, 500), (640, 224), (100, 60), (31, 300)])
def test_the_middle_square_is_kept_whatever_the_shape(width: int, height: int) -> None:
    got = pixels(FOOD(scene(width, height)))
    side = min(width, height)
    for channel, length in ((0, width), (1, height)):
        low = 255 * (length - side) / 2 / (length - 1)
        line = got[112, :, 0] if channel == 0 else got[:, 112, 1]
        assert abs(line[0] - low) < 6
        assert abs(line[-1] - (255 - low)) < 6


def test_an_image_of_the_right_size_is_not_resampled() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    assert (FOOD.crop(Image.fromarray(noise)) == noise).all()
    np.testing.assert_allclose(pixels(FOOD.decode(encoded(Image.fromarray(noise), "PNG"))), noise, atol=1e-3)


def test_the_two_halves_are_the_whole() -> None:
    image = scene(300, 260)
    assert (FOOD.normalize(FOOD.crop(image)) == FOOD(image)).all()
    batch = np.stack([FOOD.crop(image), FOOD.crop(scene(224, 224))])
    assert (FOOD.normalize(batch)[0] == FOOD(image)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_format_gives_the_same_picture(kind: str) -> None:
    body = encoded(scene(320, 240), kind, **({} if kind == "PNG" else {"quality": 95}))
    np.testing.assert_allclose(pixels(FOOD.decode(body)), pixels(FOOD(scene(320, 240))), atol=9)


def test_a_large_jpeg_decoded_at_a_fraction_looks_as_decoded_whole() -> None:
    body = encoded(scene(2000, 1600), quality=95)
    whole = Image.open(io.BytesIO(body))
    np.testing.assert_allclose(pixels(FOOD.decode(body)), pixels(FOOD(whole)), atol=3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA", "I;16"])
def test_other_color_models_are_converted(mode: str) -> None:
    image = Image.new(mode, (230, 240))
    body = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    tensor = FOOD.decode(body)
    assert tensor.shape == (3, 224, 224)
    assert np.isfinite(tensor).all()


def test_a_photo_is_turned_upright_before_it_is_cut() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    upright = scene(300, 400)
    body = encoded(upright.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)
    np.testing.assert_allclose(pixels(FOOD.decode(body)), pixels(FOOD(upright)), atol=9)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xd8", b"not an image", encoded(scene(64, 64))[:300], encoded(scene(64, 64), "PNG")[:-40]],
    ids=["empty", "two bytes", "text", "cut JPEG", "cut PNG"],
)
def test_what_is_no_whole_image_is_refused(body: bytes) -> None:
    with pytest.raises(InputError, match="no readable JPEG, PNG or WebP") as caught:
        FOOD.decode(body)
    assert caught.value.hint
    assert caught.value.field == "body"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused_though_pillow_reads_them(kind: str) -> None:
    with pytest.raises(InputError, match="no readable"):
        FOOD.decode(encoded(scene(64, 64), kind))


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_moving_pictures_are_refused(kind: str) -> None:
    frames = [scene(32, 32), Image.new("RGB", (32, 32), "red")]
    body = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="more than one frame"):
        FOOD.decode(body)


@pytest.mark.parametrize(
    ("width", "height"), [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (5000, 4001), (10_000, 9_500), (60_000, 60_000)]
)
def test_too_large_an_image_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(InputError, match="larger than 20 megapixels or 8192 pixels a side"):
        FOOD.decode(png_header(width, height))


@pytest.mark.parametrize(("width", "height"), [(5000, 4000), (MAX_SIDE, 1)])
def test_the_largest_image_allowed_gets_past_the_header(width: int, height: int) -> None:
    # There is no pixel in it, so only the size could have been accepted.
    with pytest.raises(InputError, match="no readable"):
        FOOD.decode(png_header(width, height))


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_refusal(body: bytes) -> None:
    with pytest.raises(InputError):
        FOOD.decode(body)


@settings(max_examples=80)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    place=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_a_damaged_image_is_a_tensor_or_a_refusal(kind: str, place: int, byte: int, cut: bool) -> None:
    body = bytearray(encoded(scene(48, 40), kind))
    at = place % len(body)
    body[at] = byte
    with warnings.catch_warnings():
        # Pillow warns of odd metadata; a server logs that and goes on.
        warnings.simplefilter("ignore")
        try:
            tensor = FOOD.decode(bytes(body[:at] if cut else body))
        except InputError:
            return
    assert tensor.shape == (3, 224, 224)
    assert np.isfinite(tensor).all()


def test_decoding_is_the_same_in_many_threads() -> None:
    bodies = [encoded(scene(200 + 7 * index, 260)) for index in range(24)]
    alone = [FOOD.decode(body) for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(FOOD.decode, bodies))
    assert all((first == second).all() for first, second in zip(alone, together, strict=True))


def test_parameters_are_filled_in_and_change_the_result() -> None:
    half = preprocessing("imagenet-center-crop", {"size": 112, "mean": [0, 0, 0], "std": [1, 1, 1]})
    assert half.shape == (3, 112, 112)
    assert half.params == {"size": 112, "resize": None, "mean": [0, 0, 0], "std": [1, 1, 1]}
    assert DIGITS.params == {"size": 28, "mean": (0.1307,), "std": (0.3081,)}
    np.testing.assert_allclose(half(Image.new("RGB", (300, 200), (51, 102, 153)))[:, 5, 5], [0.2, 0.4, 0.6], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "params", "place"),
    [
        ("imagenet", {}, "preprocessing.name 'imagenet'"),
        ("mnist-28", {"sise": 28}, "params.sise"),
        ("mnist-28", {"size": 0}, "params.size"),
        ("mnist-28", {"size": True}, "params.size"),
        ("mnist-28", {"size": 28.0}, "params.size"),
        ("mnist-28", {"mean": [0.1, 0.2]}, "params.mean"),
        ("mnist-28", {"mean": ["a"]}, "params.mean"),
        ("mnist-28", {"std": [0.0]}, "params.std"),
        ("imagenet-center-crop", {"std": [1, float("nan"), 1]}, "params.std"),
        ("imagenet-center-crop", {"resize": 223}, "params.resize"),
        ("imagenet-center-crop", {"resize": 449}, "params.resize"),
        ("imagenet-center-crop", {"resize": True}, "params.resize"),
        ("imagenet-center-crop", {"resize": 256.0}, "params.resize"),
        ("mnist-28", {"resize": 32}, "params.resize"),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused(name: str, params: dict[str, object], place: str) -> None:
    with pytest.raises(CardError, match=place) as caught:
        preprocessing(name, params)
    assert caught.value.hint


def test_the_shorter_side_may_become_more_than_the_square_that_is_seen() -> None:
    wide = preprocessing("imagenet-center-crop", {"resize": 256})
    image = scene(640, 512)
    resized = np.asarray(image.resize((320, 256), Image.Resampling.BILINEAR), dtype=float)
    np.testing.assert_allclose(wide.crop(image), resized[16:240, 48:272], atol=2)
    # An image of that size is not resampled.
    small = scene(256, 256)
    np.testing.assert_array_equal(wide.crop(small), np.asarray(small)[16:240, 16:240])
    assert wide != FOOD


def test_the_hash_is_that_of_the_module_itself() -> None:
    source = Path(str(imaging.__file__)).read_bytes()
    assert implementation_hash() == hashlib.sha256(source).hexdigest()


def test_contracts_compare_by_name_and_parameters() -> None:
    assert preprocessing("mnist-28") == DIGITS
    assert preprocessing("mnist-28", {"size": 32}) != DIGITS
    assert isinstance(DIGITS, Preprocessing)
