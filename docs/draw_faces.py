"""
The picture in README's "Faces in photos", docs/faces.png.

    python -m docs.draw_faces

It shows Eileen Collins (NASA, public domain), the portrait that scikit-image bundles.
"""

from pathlib import Path

import numpy as np
import skimage.data
from matplotlib.figure import Figure
from transformers import pipeline

from prediction.annotation import annotate
from prediction.colors import colors

ROOT = Path(__file__).parents[1]


def main() -> None:
    photo = skimage.data.astronaut()
    find = pipeline("facial-emotion", model=str(ROOT / "model"), trust_remote_code=True)
    (face,) = find(photo, explain=True, prior=["train", "uniform"])
    uniform = face["by_prior"]["uniform"]
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.2, 1))
    left.imshow(annotate(photo, [face])[:300, 80:380])
    left.set_title("box, label, score", fontsize=9)
    places = np.arange(len(face["scores"]))
    for shares, color, name, shift in (
        (face["scores"], [*colors(face["scores"]).values()], 'prior="train"', -0.2),
        (uniform["scores"], "#333333", 'prior="uniform"', 0.2),
    ):
        middle.barh(
            places + shift, list(shares.values()), 0.38, color=color, label=name,
            edgecolor="#333333", linewidth=0.5,
        )  # fmt: skip
    middle.set_yticks(places, face["scores"], fontsize=9)
    middle.invert_yaxis()
    middle.set_xlim(0, 1)
    middle.set_title("scores, under two priors (dark: uniform)", fontsize=9)
    right.imshow(face["crop"])
    right.imshow(face["heatmap"], cmap="inferno", alpha=0.5)
    right.set_title(f"crop and heatmap of {face['label']}", fontsize=9)
    for axes in (left, right):
        axes.set_axis_off()
    figure.savefig(ROOT / "docs" / "faces.png", dpi=100)


if __name__ == "__main__":
    main()
