"""Training images in the memory of the GPU."""

from transformers import TrainingArguments

from ..data import FaceDataset


def hold_images(faces: FaceDataset, training: TrainingArguments) -> bool:
    """
    Moves the images, uint8, to the device of the training, so that batches are gathered there;
    returns whether it did. Labels stay where they are.

    On a CPU nothing is done, nor with --dataloader_num_workers or --dataloader_pin_memory: other
    processes, and pinned memory, are of the host.
    """
    on_host = training.dataloader_num_workers or training.dataloader_pin_memory
    if training.device.type == "cpu" or on_host:
        return False
    faces.pixels = faces.images.to(training.device)
    return True
