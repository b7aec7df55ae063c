"""Photos to try, made by code from those that scikit-image carries."""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image


def make_examples(folder: Path) -> dict[Path, str]:
    """Writes them to `folder`; their paths, and what they show."""
    astronaut = skimage.data.astronaut()
    face = astronaut[0:230, 110:340]
    turned = Image.fromarray(face).rotate(20, Image.Resampling.BICUBIC, fillcolor=(120, 120, 120))
    grey = Image.fromarray(face[:, ::-1]).convert("L").convert("RGB")
    several = np.concatenate([face, np.asarray(grey), np.asarray(turned)], axis=1)
    pictures = {
        "One face": astronaut,
        "Three faces": several,
        "No face": skimage.data.chelsea(),
    }
    paths = {}
    for number, (words, picture) in enumerate(pictures.items(), 1):
        path = folder / f"example-{number}.png"
        Image.fromarray(picture).save(path)
        paths[path] = words
    return paths
