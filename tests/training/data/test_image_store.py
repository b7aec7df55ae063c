"""Decoded images: cropped and resized as they come, stored in memory or in a file."""

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image
from PIL import Image as PilImage

from modeling import FerEfficientNetImageProcessor
from training.data import DataError, FaceDataset, decode_splits, image_store, load_fer2013
from training.data.image_store import ImageStore, centred_squares, storage_line
from training.data.synthetic import encode_png

RNG = np.random.default_rng(0)
CLASSES = Features({"image": Image(), "label": ClassLabel(names=["calm", "tense"])})


def photos(*sizes):
    """Random pixels of each (width, height)."""
    return [RNG.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in sizes]


def rows_of(*arrays):
    images = [{"bytes": encode_png(array), "path": None} for array in arrays]
    labels = [row % 2 for row in range(len(arrays))]
    return Dataset.from_dict({"image": images, "label": labels}, features=CLASSES)


def chw(array):
    return torch.from_numpy(array).permute(2, 0, 1)


def processor(size=32, num_channels=3):
    return FerEfficientNetImageProcessor(size=size, num_channels=num_channels)


def test_a_centred_square_is_cut_out_of_either_shape():
    images = torch.arange(60).view(2, 1, 5, 6)
    assert torch.equal(centred_squares(images), images[..., :5])
    assert torch.equal(centred_squares(images.mT), images.mT[..., :5, :])
    line = torch.arange(21).view(1, 1, 3, 7)
    assert torch.equal(centred_squares(line)[0, 0, 0], torch.arange(2, 5))


def test_images_of_any_size_are_cropped_to_a_square_and_resized():
    arrays = photos((100, 100), (60, 90), (200, 80), (32, 32))
    faces = decode_splits({"train": rows_of(*arrays)}, processor())["train"]
    assert faces.images.shape == (4, 3, 32, 32) and faces.images.dtype == torch.uint8
    squares = [chw(array)[None] for array in arrays]
    squares[1], squares[2] = squares[1][..., 15:75, :], squares[2][..., 60:140]
    for image, square in zip(faces.images, squares):
        expected = processor().resize_batch(square)[0].round().clamp(0, 255)
        assert torch.equal(image.float(), expected)
    assert torch.equal(faces.images[3], chw(arrays[3]))  # what fits is not touched


@pytest.mark.parametrize(
    "sizes, input_size, side",
    [
        ([48, 48], 32, 48),  # as FER-2013: resized after the augmentation
        ([48, 48], 64, 48),
        ([60, 60], 64, 60),
        ([100, 100], 48, 48),  # as RAF-DB
        ([48, 50], 32, 32),
        ([50, 48], 64, 64),
    ],
)
def test_images_of_one_size_stay_as_they_are_up_to_the_inputs_or_fer2013s(sizes, input_size, side):
    arrays = photos(*((size, size) for size in sizes))
    faces = decode_splits({"train": rows_of(*arrays)}, processor(input_size))["train"]
    assert faces.images.shape[-1] == side
    if side == sizes[0] == sizes[1]:
        assert torch.equal(faces.images, torch.stack([chw(array) for array in arrays]))


def test_all_splits_are_stored_at_one_size_wherever_the_odd_one_is():
    same, odd = photos((48, 48), (48, 48)), photos((48, 48), (70, 50))
    splits, record = {"train": rows_of(*same), "test": rows_of(*odd)}, {}
    decoded = decode_splits(splits, processor(), record=record)
    turned = decode_splits(dict(reversed(splits.items())), processor())
    for name, faces in decoded.items():
        assert faces.images.shape[-1] == 32
        assert torch.equal(faces.images, turned[name].images)
    assert record["held_images"]["cropped_or_resized"] == record["held_images"]["images"] == 4


def test_a_side_may_be_given_and_digests_are_the_same_at_every_size():
    splits = {"train": rows_of(*photos((100, 100), (90, 100)))}
    larger = decode_splits(splits, processor(), side=64)["train"]
    smaller = decode_splits(splits, processor())["train"]
    assert (larger.images.shape[-1], smaller.images.shape[-1]) == (64, 32)
    assert larger.digests.tolist() == smaller.digests.tolist()
    assert smaller.select([1]).digests.tolist() == smaller.digests[[1]].tolist()
    same = {"train": rows_of(*photos((48, 48), (48, 48)))}
    unchanged = decode_splits(same, processor())["train"]
    resized = decode_splits(same, processor(), side=40, as_is=False)["train"]
    assert resized.images.shape[-1] == 40
    assert resized.digests.tolist() == unchanged.digests.tolist()
    assert (
        unchanged.digests.tolist() == FaceDataset(unchanged.images, torch.zeros(2)).digests.tolist()
    )


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_rows_that_cannot_be_read_leave_no_gap(bad):
    arrays = photos((40, 40), (50, 50), (60, 60))
    rows = rows_of(*arrays).to_list()
    rows[bad]["image"] = {"bytes": b"no image", "path": None}
    split, skipped = Dataset.from_list(rows, features=CLASSES), []
    other = rows_of(*photos((40, 40)))
    decoded = decode_splits({"train": split, "test": other}, processor(), skipped)
    kept = [chw(array)[None] for row, array in enumerate(arrays) if row != bad]
    for image, array in zip(decoded["train"].images, kept, strict=True):
        assert torch.equal(image.float(), processor().resize_batch(array)[0].round())
    assert decoded["train"].labels.tolist() == [row % 2 for row in range(3) if row != bad]
    assert len(decoded["train"].digests) == 2 and len(decoded["test"]) == 1
    assert f"train, row {bad}" in skipped[0]


@pytest.fixture
def both(tmp_path):
    """The same splits in memory and in a file, the folder of the file, and what is recorded."""
    splits = {"train": rows_of(*photos(*[(40, 60)] * 6)), "test": rows_of(*photos((40, 40)))}
    record = {}
    in_file = decode_splits(splits, processor(), memory_gb=2e-5, folder=tmp_path, record=record)
    return decode_splits(splits, processor(), memory_gb=1), in_file, tmp_path, record


def test_what_does_not_fit_into_memory_is_read_from_a_file_without_a_name(both):
    in_memory, in_file, folder, record = both
    assert record["held_images"]["in_file"] and record["held_images"]["gigabytes"] > 2e-5
    assert list(folder.iterdir()) == []  # gone with the process, however that ends
    for name, faces in in_file.items():
        assert torch.equal(faces.images, in_memory[name].images)
        assert faces.digests.tolist() == in_memory[name].digests.tolist()
        batch = faces.__getitems__([0, 0])
        assert torch.equal(batch["pixel_values"], in_memory[name].images[[0, 0]])
    assert storage_line(record["held_images"]) == (
        "Images are held at 32 x 32 px, RGB: 0.00 GB in a file, which is gone when the run ends; "
        "7 were cropped to their centred square or resized"
    )


def test_selections_and_pools_copy_no_image(both):
    train, test = both[1]["train"], both[1]["test"]
    pool = FaceDataset.pool([train.select([4, 1]).select([1]), test])
    voted = train.with_voted(torch.ones(6, 2))
    for faces in (train.select(np.array([3, 3])), pool, voted, test):
        assert faces.pixels.store is train.pixels.store
    assert torch.equal(pool.images, torch.cat([train.images[[1]], test.images]))
    assert pool.labels.tolist() == [train.labels[1], test.labels[0]]
    assert voted.voted is not None and train.voted is None
    assert [len(batch) for batch in train.batches(4)] == [4, 2]
    assert torch.equal(torch.cat(list(train.select([5, 0, 2]).batches(2))), train.images[[5, 0, 2]])


def test_pools_of_images_stored_apart_are_joined():
    parts = [FaceDataset(torch.full((2, 1, 2, 2), n), torch.tensor([0, 1])) for n in (1, 2)]
    assert FaceDataset.pool(parts).images[:, 0, 0, 0].tolist() == [1, 1, 2, 2]


def test_no_room_for_the_file_is_told_before_anything_is_decoded(monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image_store.os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"expected room for 0\.0 GB of .*No space.*--memory_gb"):
        decode_splits({"train": rows_of(*photos((9, 9)))}, processor(), memory_gb=0)


def test_nothing_is_said_of_images_that_stay_as_they_are():
    store = ImageStore(1, processor(48, 1))
    store.append(torch.zeros(1, 1, 48, 48, dtype=torch.uint8))
    assert storage_line(store.record()) == "" and store.record()["gigabytes"] == 48 * 48 / 1e9


def test_colour_photos_of_a_folder_tree(tmp_path):
    for name, array in zip(("calm/a.jpg", "tense/b.png"), photos((120, 90), (48, 64))):
        (tmp_path / name).parent.mkdir(parents=True)
        PilImage.fromarray(array).save(tmp_path / name)
    splits = load_fer2013(str(tmp_path), classes="any")
    faces = decode_splits(splits, processor(48, 1))["train"]
    assert faces.images.shape == (2, 1, 48, 48) and faces.label_names == ("calm", "tense")
