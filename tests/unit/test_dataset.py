"""Splits of image files: made once and whole, or read from folders as people lay them out."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from predictors.errors import DataError
from predictors.models import dataset, food_data, food_images, mnist
from predictors.models.dataset import Dataset, generated, labeled_files, made_once
from predictors.models.food11 import LABELS
from tests.eventually import eventually

_HINT = "a hint"
_SCRIPT = """\
import sys
from pathlib import Path
from predictors.models import food_images
from predictors.models.dataset import generated

{guard}generated(
    "food11", "test", {count}, root=Path(sys.argv[1]),
    make=food_images.jpeg, label_of=food_images.label_of, sources=(food_images,),
)
"""
_GUARD = 'if __name__ == "__main__": '


def script(folder: Path, *, guard: str, count: int) -> list[str]:
    """Write a script of somebody's own that makes a split below `folder`; return its command line."""
    path = folder / "script.py"
    path.write_text(_SCRIPT.format(guard=guard, count=count), encoding="utf-8")
    return [sys.executable, str(path), str(folder)]


def processes_in(folder: Path) -> list[int]:
    """The living processes that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        # It may be gone, or somebody else's.
        with suppress(OSError):
            if place.readlink() == folder:
                found.append(int(place.parent.name))
    return found


def made(root: Path, count: int = 3, split: str = "test", make: Callable[[str, int], bytes] | None = None) -> Dataset:
    return generated(
        "food11",
        split,
        count,
        root=root,
        make=make or food_images.jpeg,
        label_of=food_images.label_of,
        sources=(food_images,),
    )


def write(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return root


def names(found: Dataset) -> dict[str, int]:
    pairs = zip(found.files, found.labels.tolist(), strict=True)
    return {path.relative_to(found.folder).as_posix(): label for path, label in pairs}


def test_a_split_is_written_once_and_holds_the_generators_bytes(tmp_path: Path) -> None:
    first = made(tmp_path)
    assert [path.read_bytes() for path in first.files] == [food_images.jpeg("test", index) for index in range(3)]
    assert first.labels.tolist() == [0, 1, 2]
    written = first.files[0].stat().st_mtime_ns
    assert made(tmp_path).files[0].stat().st_mtime_ns == written
    assert [path.name for path in (tmp_path / "food11").iterdir()] == [first.folder.name]


def test_another_size_or_split_is_another_folder(tmp_path: Path) -> None:
    folders = {made(tmp_path, 1).folder, made(tmp_path, 2).folder, made(tmp_path, 1, "train").folder}
    assert len(folders) == 3


def _broken(split: str, index: int) -> bytes:
    if index == 1:
        raise KeyError(split)
    return b"image"


def test_a_generator_that_fails_leaves_nothing_half(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        made(tmp_path, make=_broken)
    assert list((tmp_path / "food11").iterdir()) == []


@pytest.mark.parametrize("guard", [_GUARD, ""])
def test_a_script_without_a_main_guard_is_told_so_and_not_started_for_ever(tmp_path: Path, guard: str) -> None:
    words = script(tmp_path, guard=guard, count=2)
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    made = [path.name for path in (tmp_path / "food11").iterdir()]
    if guard:
        assert (ended.returncode, len(made)) == (0, 1), ended.stderr
    else:
        assert "DataError: A process that makes the images ended." in ended.stderr
        assert (ended.returncode, made) == (1, [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_a_caller_that_was_killed(tmp_path: Path, number: signal.Signals) -> None:
    words = script(tmp_path, guard=_GUARD, count=100_000)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, start_new_session=True) as process:
        eventually(lambda: any(tmp_path.glob("food11/*/*.jpg")))
        assert len(processes_in(tmp_path)) > 2
        process.send_signal(number)
        process.wait(60)
    eventually(lambda: not processes_in(tmp_path))


def test_whoever_is_second_takes_what_the_first_made(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "split"

    def overtaken(staging: Path) -> None:
        write(staging, "mine.jpg")
        write(folder, "0.jpg")

    assert made_once(folder, overtaken) == folder
    assert [path.name for path in folder.iterdir()] == ["0.jpg"]
    assert [path.name for path in folder.parent.iterdir()] == ["split"]


def test_a_disk_that_refuses_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    def full(staging: Path) -> None:
        write(staging, "0.jpg")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        made_once(tmp_path / "made" / "split", full)
    assert list((tmp_path / "made").iterdir()) == []


def test_the_first_images_of_a_split() -> None:
    whole = Dataset(Path(), tuple(Path(name) for name in "abc"), np.arange(3))
    assert whole.first(None) is whole
    assert whole.first(2).files == (Path("a"), Path("b"))
    assert whole.first(2).labels.tolist() == [0, 1]


def test_flat_files_say_their_class_before_the_first_underscore(tmp_path: Path) -> None:
    write(tmp_path, "0_7.jpg", "10_2.JPG", "3_1.jpeg", "notes.txt", "._0_7.jpg", "__MACOSX/x_1.jpg")
    assert names(labeled_files(tmp_path, LABELS, hint=_HINT)) == {"0_7.jpg": 0, "10_2.JPG": 10, "3_1.jpeg": 3}


def test_folders_say_their_class_by_number_or_by_name_in_any_spelling(tmp_path: Path) -> None:
    write(tmp_path, "0/a.jpg", "Fried food/b.png", "noodles_pasta/c.webp", "Vegetable-Fruit/0_1.jpg")
    assert names(labeled_files(tmp_path, LABELS, hint=_HINT)) == {
        "0/a.jpg": 0,
        "Fried food/b.png": 4,
        "noodles_pasta/c.webp": 6,
        "Vegetable-Fruit/0_1.jpg": 10,
    }


def test_the_first_folder_that_names_a_class_is_the_class(tmp_path: Path) -> None:
    write(tmp_path, "red/0/a.jpg", "blue/0/b.jpg", "blue/2021/c.jpg", "blue/red/d.jpg", "camera 2/red/e.jpg")
    assert names(labeled_files(tmp_path, ("red", "blue"), hint=_HINT)) == {
        "red/0/a.jpg": 0,
        "blue/0/b.jpg": 1,
        "blue/2021/c.jpg": 1,
        "blue/red/d.jpg": 1,
        "camera 2/red/e.jpg": 0,
    }


def test_a_name_that_is_a_number_is_a_name_first(tmp_path: Path) -> None:
    write(tmp_path, "1/a.jpg", "2/b.jpg", "3/c.jpg", "²/d.jpg")
    assert names(labeled_files(tmp_path, ("1", "2", "3"), hint=_HINT)) == {"1/a.jpg": 0, "2/b.jpg": 1, "3/c.jpg": 2}


def test_links_lead_to_images_and_not_round_in_circles(tmp_path: Path) -> None:
    write(tmp_path, "split/red/a.jpg", "elsewhere/b.jpg", "elsewhere/more/c.jpg")
    (tmp_path / "split/blue").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "split/red/d.JPG").symlink_to(tmp_path / "elsewhere/b.jpg")
    assert names(labeled_files(tmp_path / "split", ("red", "blue"), hint=_HINT)) == {
        "blue/b.jpg": 1,
        "blue/more/c.jpg": 1,
        "red/a.jpg": 0,
        "red/d.JPG": 0,
    }


@pytest.mark.parametrize("laid", ["blue/a.heic", "blue/readme.txt", "1/a.tiff"])
def test_a_class_whose_folder_has_no_image_is_refused(tmp_path: Path, laid: str) -> None:
    write(tmp_path, "red/a.jpg", laid)
    with pytest.raises(DataError, match=r"(blue|1) holds no file that ends in .jpeg, .jpg, .png, .webp"):
        labeled_files(tmp_path, ("red", "blue"), hint=_HINT)
    # The control: a class that nobody made a folder for is not asked for.
    assert names(labeled_files(tmp_path, ("red",), hint=_HINT)) == {"red/a.jpg": 0}


def test_a_folder_named_as_a_digit_class_is_that_class(tmp_path: Path) -> None:
    write(tmp_path, "7/a.png")
    assert names(labeled_files(tmp_path, mnist.LABELS, hint=_HINT)) == {"7/a.png": 7}


def test_classes_beyond_the_labels_are_left_out_where_every_label_has_an_image(tmp_path: Path) -> None:
    write(tmp_path, "red/a.jpg", "blue/b.jpg", "green/c.jpg")
    assert names(labeled_files(tmp_path, ("red", "blue"), hint=_HINT)) == {"red/a.jpg": 0, "blue/b.jpg": 1}


@pytest.mark.parametrize(
    ("laid", "sentence"),
    [
        ([], "There is no folder"),
        (["split/readme.txt"], "no image of a known label"),
        (["split/bread/a.jpg", "split/vegetabel/a.jpg"], r"vegetabel/a\.jpg is of no known label: 'vegetabel'"),
        (["split/0_1.jpg", "split/11_0.jpg"], r"11_0\.jpg is of no known label: '11'"),
    ],
)
def test_a_folder_without_labeled_images_is_one_clear_sentence(tmp_path: Path, laid: list[str], sentence: str) -> None:
    write(tmp_path, *laid)
    with pytest.raises(DataError, match=sentence) as caught:
        labeled_files(tmp_path / "split", LABELS, hint=_HINT)
    assert caught.value.hint == _HINT
    assert "\n" not in str(caught.value)


def test_the_public_folders_of_food_are_the_eleven_classes(tmp_path: Path) -> None:
    text = "Bread,Dairy product,Dessert,Egg,Fried food,Meat,Noodles-Pasta,Rice,Seafood,Soup,Vegetable-Fruit"
    public = text.split(",")
    write(tmp_path, *(f"training/{name}/0.jpg" for name in public))
    found = food_data.prepare("train", Path("unused"), tmp_path)
    assert names(found) == {f"{name}/0.jpg": number for number, name in enumerate(public)}


def test_the_public_food_set_is_read_where_it_lies(tmp_path: Path) -> None:
    write(tmp_path, "training/0_0.jpg", "validation/1_0.jpg", "evaluation/Soup/5.jpg")
    food_data.check(tmp_path)
    labels = {split: food_data.prepare(split, Path("unused"), tmp_path).labels.tolist() for split in dataset.SPLITS}
    assert labels == {"train": [0], "calibration": [1], "test": [9]}


@pytest.mark.parametrize("laid", [["training/0_0.jpg"], ["training/0_0.jpg", "validation/1_0.jpg", "evaluation/"]])
def test_a_food_set_that_lacks_a_split_is_refused_before_anything_is_read(tmp_path: Path, laid: list[str]) -> None:
    for name in laid:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            write(tmp_path, name)
    with pytest.raises(DataError, match=r"validation|evaluation") as caught:
        food_data.check(tmp_path)
    assert "training/, validation/ and evaluation/" in caught.value.hint


def test_generated_food_needs_no_folder(tmp_path: Path) -> None:
    food_data.check(None)
    assert sum(food_data.COUNTS.values()) == 9350
    assert all(count % len(LABELS) == 0 for count in food_data.COUNTS.values())
