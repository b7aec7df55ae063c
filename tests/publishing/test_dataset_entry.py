"""publishing/dataset_entry.py: parquet with audit columns, and back again."""

import datasets
import numpy as np
import pytest
from huggingface_hub import DatasetCard

import push_to_hub
from publishing import PublishError
from tests.publishing.conftest import push
from tests.publishing.hub_server import files_of
from training.data import LABELS, draw_faces, encode_png, load_fer2013, pack

SAME_ROWS = """
import sys
from training.data import load_fer2013
back, original = load_fer2013("me/fer2013"), load_fer2013(sys.argv[1])
assert list(back) == list(original) == ["train", "validation", "test"]
for name in original:
    assert back[name]["label"][:] == original[name]["label"][:]
    for one, other in zip(back[name]["image"], original[name]["image"]):
        assert one.tobytes() == other.tobytes()
"""


def test_data_entry_goes_up_private_and_comes_back(client, hub, tmp_path, script_at_hub):
    faces = tmp_path / "faces"
    faces.mkdir()
    for name, split in load_fer2013("synthetic", synthetic_images=260).items():
        split.to_parquet(faces / f"{name}.parquet")
    source = ["dataset", str(faces), "--repo_id", "me/fer2013"]
    push(*source, "--dry_run", tmp_path / "dry")
    assert not hub.requests
    push_to_hub.main(source)
    repository = hub.repositories["datasets/me/fer2013"]
    sent = {name: content for name, content in repository.tree.items() if name[0] != "."}
    assert sent == files_of(tmp_path / "dry")
    assert repository.private and set(repository.tree) == {
        *(".gitattributes", "README.md", "data_report.json"),
        *("data/train.parquet", "data/validation.parquet", "data/test.parquet"),
    }
    card = DatasetCard.load(tmp_path / "dry" / "README.md")
    assert card.data.license_name == "fer2013-kaggle" and "Goodfellow" in card.text
    files = [file["path"] for file in card.data.configs[0]["data_files"]]
    assert files == [f"data/{name}.parquet" for name in ("train", "validation", "test")]
    entry = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "dry" / "data" / "validation.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert isinstance(entry.features["image"], datasets.Image)
    assert entry.features["label"].names == list(LABELS)
    assert sum(entry["copy_of_training"][:]) == 52 // 13
    assert all(group >= 0 for group, copy in zip(entry["group"], entry["copy_of_training"]) if copy)
    script_at_hub(SAME_ROWS, faces)


def test_a_data_entry_of_other_classes_is_named_and_has_no_word_of_fer2013(tmp_path):
    faces = draw_faces(np.array([0, 1, 1]), ["neutral", "sad"], seed=0)
    for name, face in zip(("<b>|calm/a.png", "sad/b.png", "sad/c.png"), faces):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name).write_bytes(encode_png(face))
    look = tmp_path / "look"
    push(
        *("dataset", tmp_path / "faces", "--repo_id", "me/moods", "--classes", "any"),
        *("--dataset_name", "Moods", "--dry_run", look),
    )
    stored = datasets.Dataset.from_parquet(
        str(look / "data" / "train.parquet"), cache_dir=str(tmp_path)
    )
    assert stored.features["label"].names == ["<b>|calm", "sad"] and stored["label"][:] == [0, 1, 1]
    card = (look / "README.md").read_text()
    assert DatasetCard(card).data.pretty_name == "Moods with its flaws marked"
    assert "# Moods with its flaws marked" in card and "FER" not in card and "fer2013" not in card
    assert r"| `label` | 0 \<b>\|calm, 1 sad |" in card and r"| split | \<b>\|calm | sad |" in card
    rows = [line.replace(r"\|", "") for line in card.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in rows} == {3, 7} and "|  |" not in "".join(rows)


def test_a_packed_file_is_no_data_entry(tmp_path):
    pack.main(
        ["--dataset", "synthetic", "--synthetic_images", "70"]
        + ["--out", str(tmp_path / "faces.safetensors")]
    )
    with pytest.raises(PublishError, match="but found a packed file, which holds them decoded"):
        push(
            *("dataset", tmp_path / "faces.safetensors", "--repo_id", "me/x"),
            *("--dry_run", tmp_path / "dry"),
        )
    assert not (tmp_path / "dry").exists()
