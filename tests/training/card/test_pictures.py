"""What the figures of a run say, read from the texts that matplotlib is given."""

import itertools
from types import SimpleNamespace

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from training.card import pictures
from training.data import FaceDataset


@pytest.fixture
def drawn(monkeypatch):
    """Figures in the order in which they were saved."""
    saved = []
    save = pictures._save

    def keep(figure, path):
        saved.append(figure)
        save(figure, path)

    monkeypatch.setattr(pictures, "_save", keep)
    return saved


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


def test_confusion_matrix(drawn, tmp_path):
    counts = [[1234, 0], [1, 999]]
    names = ["怒り", "$two^$"]  # no formula
    pictures.plot_confusion_matrix(tmp_path / "a.png", counts, names, "mine: a $ split$")
    texts = words(drawn[0])
    assert "class 1" in texts and "$two^$" in texts  # matplotlib warns of letters it has not
    assert "mine: a $ split$" in texts and "1.00\n1,234" in texts and "<0.01\n1" in texts
    assert not any("0.00" in text or text.endswith("\n0") for text in texts)


def test_each_is_a_png_of_200_dpi_and_the_same_svg_each_time(tmp_path):
    for name in ("a.png", "b.png"):
        pictures.plot_confusion_matrix(tmp_path / name, [[1]], ["one"], "mine")
    svg = (tmp_path / "a.svg").read_bytes()
    assert svg == (tmp_path / "b.svg").read_bytes() and b"</svg>" in svg
    assert matplotlib.image.imread(tmp_path / "a.png").shape[:2] == (1200, 1400)


def test_class_distribution(drawn, tmp_path, make_faces):
    faces: FaceDataset = make_faces([0, 1, 1])
    data = SimpleNamespace(
        eval_split="validation", eval=faces, train_counts=np.array([21000, 547]),
        record={"sampling": "none"},
    )  # fmt: skip
    pictures.plot_class_distribution(tmp_path / "a.png", data, ["one", "two"], "mine")
    texts = words(drawn[0])
    assert "mine: class distribution" in texts
    assert "training: 21,547 images" in texts and "21,000" in texts and "5,000" in texts
    data.train_counts = np.array([2, 1])
    pictures.plot_class_distribution(tmp_path / "a.png", data, ["one", "two"], "mine")
    marks = [one.get_text() for one in drawn[1].axes[0].get_yticklabels()]
    assert len(marks) > 2 and len({*marks}) == len(marks)  # no half images, shown as whole ones


@pytest.mark.parametrize(
    "history, panels",
    [
        ([{"epoch": 1, "loss": 2.0}, {"epoch": 1, "eval_accuracy": 0.5}], ["Loss", "Evaluation"]),
        ([{"epoch": 1, "loss": 2.0}], ["Loss"]),
        ([{"epoch": 0.1, "train_loss": 2.0}], ["Loss"]),  # shorter than --logging_steps
    ],
)
def test_no_panel_of_the_curves_is_empty(drawn, tmp_path, history, panels):
    pictures.plot_training_curves(tmp_path / "a.png", history, "mine")
    assert "mine" in words(drawn[0])
    assert [axes.get_title() for axes in drawn[0].axes] == panels
    assert all(axes.lines for axes in drawn[0].axes)


@pytest.mark.parametrize("number", [2, 8, 64])
def test_any_number_of_classes_and_long_names_fit(monkeypatch, number):
    drawn, names = [], [f"class {i} that looks into the mirror" for i in range(number)]
    monkeypatch.setattr(pictures, "_save", lambda figure, path: drawn.append(figure))
    counts, labels = np.eye(number, dtype=int) * 90 + 10, torch.arange(number)
    data = SimpleNamespace(
        eval_split="test", eval=SimpleNamespace(labels=labels), record={"sampling": "weighted"},
        counts_before=counts[0], train_counts=counts[0], seen_counts=torch.ones(number),
    )  # fmt: skip
    pictures.plot_confusion_matrix(None, counts, names, "mine")
    pictures.plot_class_distribution(None, data, names, "mine")
    for figure in drawn:
        figure.draw_without_rendering()
        axes = figure.axes[0]
        ticks = [one for one in axes.get_xticklabels() if one.get_text()]
        boxes = [one.get_window_extent() for one in ticks]
        assert len(ticks) == number
        assert all(figure.bbox.contains(*corner) for box in boxes for corner in box.corners())
        if ticks[0].get_rotation() in (0, 90):  # the boxes of slanted words overlap
            assert all(one.x1 <= other.x0 for one, other in itertools.pairwise(boxes))
        assert axes.get_window_extent().height > 0.3 * figure.bbox.height
        plt.close(figure)
    assert any("0." in one.get_text() for one in drawn[0].axes[0].texts) == (number <= 24)
