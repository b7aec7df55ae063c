"""What turns data into weights: data, sampling, augmentation, losses, metrics, trainer, report."""
