"""Where training images are held; the meta device stands in for a GPU."""

from types import SimpleNamespace

import pytest
import torch

from training.gpu import hold_images


def arguments(device, **flags):
    defaults = {"dataloader_num_workers": 0, "dataloader_pin_memory": False}
    return SimpleNamespace(device=torch.device(device), **(defaults | flags))


def test_images_are_held_on_the_device_and_batches_gathered_there(make_faces):
    faces = make_faces([0, 1, 2, 3])
    assert hold_images(faces, arguments("meta"))
    batch = faces.__getitems__([3, 1])
    assert batch["pixel_values"].device.type == "meta"
    assert batch["pixel_values"].shape == (2, 1, 2, 2)
    assert batch["pixel_values"].dtype == torch.uint8
    assert batch["labels"].tolist() == [3, 1]


@pytest.mark.parametrize(
    "device, flags",
    [
        ("cpu", {}),
        ("meta", {"dataloader_num_workers": 2}),
        ("meta", {"dataloader_pin_memory": True}),
    ],
)
def test_images_stay_on_the_host(make_faces, device, flags):
    faces = make_faces([0, 1])
    assert not hold_images(faces, arguments(device, **flags))
    assert faces.images.device.type == "cpu"
