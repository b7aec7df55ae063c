"""training/record/files.py: a run's folder is replaced whole or left as it is."""

import shutil

import pytest
import yaml

from training.errors import TrainingError
from training.record import remove_checkpoints_and_logs
from training.record.files import write_yaml, written_whole


@pytest.fixture
def folder(tmp_path):
    """A published run with links to code, checkpoints and logs of the new one, and notes."""
    folder = tmp_path / "model"
    for name in ("checkpoint-3", "superseded-checkpoint-4", "runs", "onnx"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("old")
    for name in ("config.json", "training_curves.svg", "grad_cam.py", "notes.txt", "mine.py"):
        (folder / name).write_text("old")
    for name in ("test_results.json", "robustness.json"):
        (folder / name).write_text("old")  # of the earlier model
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("code")
    for name in ("pipeline_facial_emotion.py", "photo_reading.py", "of_an_older_version.py"):
        (folder / name).symlink_to(tmp_path / "code" / "a.py")
    for name in ("code", "checkpoint-5"):  # a checkpoint may lie on another disk
        (folder / name).symlink_to(tmp_path / "code")
    return folder


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_what_the_new_report_lacks_is_gone_and_the_rest_stays(folder):
    with written_whole(folder) as new:
        for name in ("config.json", "README.md", "pipeline_facial_emotion.py"):
            (new / name).write_text("new")
    assert names(folder) == {
        *("config.json", "README.md", "pipeline_facial_emotion.py"),
        *("checkpoint-3", "superseded-checkpoint-4", "checkpoint-5", "runs"),
        *("notes.txt", "mine.py", "code", "of_an_older_version.py"),  # not the report's
    }
    assert (folder / "config.json").read_text() == "new"
    assert (folder / "checkpoint-3" / "file").read_text() == "old"


def test_a_file_in_place_of_a_link_leaves_its_target_alone(folder):
    with written_whole(folder) as new:
        (new / "pipeline_facial_emotion.py").write_text("new")
    assert not (folder / "pipeline_facial_emotion.py").is_symlink()
    assert (folder / "pipeline_facial_emotion.py").read_text() == "new"
    assert (folder.parent / "code" / "a.py").read_text() == "code"


def test_nothing_is_replaced_or_removed_before_all_is_written(folder):
    before = names(folder)
    with pytest.raises(TrainingError, match="its earlier content is unchanged"):
        with written_whole(folder) as new:
            (new / "config.json").write_text("new")
            raise OSError("no space left")
    assert names(folder) == before and (folder / "config.json").read_text() == "old"


def test_checkpoints_and_logs_are_removed_and_of_links_the_links(folder, tmp_path):
    shutil.move(folder / "checkpoint-3", tmp_path / "elsewhere")
    (folder / "checkpoint-3").symlink_to(tmp_path / "elsewhere")
    remove_checkpoints_and_logs(folder)
    assert not [name for name in names(folder) if "checkpoint" in name or name == "runs"]
    assert (folder / "onnx").is_dir() and (tmp_path / "elsewhere" / "file").read_text() == "old"


def test_yaml_holds_neither_anchors_nor_aliases(tmp_path):
    words = ["a", "b"]
    write_yaml(tmp_path / "run.yaml", {"z": words, "a": {"same": words}})
    text = (tmp_path / "run.yaml").read_text()
    assert "&" not in text and "*" not in text and text.startswith("z:")
    assert yaml.safe_load(text) == {"z": words, "a": {"same": words}}
