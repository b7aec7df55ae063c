"""
Train a model in stages: the numbered recipes of a folder, in order.

  the model that ships; with --last 1 its first stage alone
    python train_chain.py configs/model --dataset fer2013.csv --ferplus_csv fer2013new.csv
  ImageNet weights from a file, other flags of train.py for every stage
    python train_chain.py configs/model --dataset fer2013 --pretrained lite2.safetensors --bf16
  the chain for one GPU, and its rehearsal on the CPU, two steps of each stage, in runs/rehearsal
    python train_chain.py configs/model_gpu --dataset fer2013.csv --ferplus_csv fer2013new.csv
    python train_chain.py configs/model_gpu --rehearse

Each stage writes runs/<recipe>. Called again, it skips what is done and resumes what was cut off.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from training.arguments import NOT_DECISIVE, parse_arguments
from training.checkpoints import last_whole_checkpoint
from training.network import needs_the_hub
from training.record import flags_of, read_run, was_measured

# Stages of a rehearsal are short and run anywhere; bf16 is slow on most CPUs.
SHORT = (
    "--use_cpu --no_pretrained --image_size 32 --progressive_sizes --max_steps 2 --precise_bn 32 "
    "--per_device_train_batch_size 8 --bf16 false --eval_steps 2 --save_steps 2"
).split()
DRAWN = "--dataset synthetic --synthetic_images 100 --ferplus_weight 0".split()
OF_A_SAVED_NETWORK = ("backbone", "num_channels", "stem_stride", "drop_path_rate", "head_")


class Stage:
    def __init__(self, recipe: Path, flags: list[str]):
        self.recipe, self.name, self.flags = recipe, recipe.stem, flags
        self.args = parse_arguments(__doc__, [str(recipe), *flags])
        self.folder = Path(self.args.training.output_dir)

    def with_weights(self, source: Path | None) -> "Stage":
        """With the ImageNet weights in that file or folder, if it starts from such weights."""
        if not (source and self.args.model.pretrained):
            return self
        file = source / f"{self.args.model.backbone}.safetensors" if source.is_dir() else source
        if file.is_file():
            return Stage(self.recipe, [*self.flags, "--pretrained", str(file)])
        print(f"{self.name} starts from random weights: there is no {file}", flush=True)
        return Stage(self.recipe, [*self.flags, "--no_pretrained"])

    def differences(self, before: dict) -> list[str]:
        """Between the flags of a finished run and the stage's: ["seed 1 -> 2", ...]."""
        flags = flags_of({"arguments": self.args.to_dict()})
        ignored = (*NOT_DECISIVE, "ferplus_csv", "pretrained")  # a weights file may have moved
        ignored += OF_A_SAVED_NETWORK if flags["model_name_or_path"] else ()
        ignored += ("image_size",) if flags["image_size"] is None else ()
        names = [name for name in flags if before.get(name, flags[name]) != flags[name]]
        names = [name for name in names if not name.startswith(ignored)]
        for name in ("dataset", "ferplus_csv"):
            if Path(before[name] or "").resolve() != Path(flags[name] or "").resolve():
                names.append(name)
        return [f"{name} {before[name]} -> {flags[name]}" for name in names]


def finished(stages: list[Stage]) -> list[Path]:
    """The folders of the stages that are done, by their records; exits where one is another run."""
    folders, done = {stage.folder for stage in stages}, []
    for stage in stages:
        run, weights = read_run(stage.folder), stage.folder / "model.safetensors"
        if run is None or not weights.is_file():
            continue
        if not was_measured(stage.folder) and last_whole_checkpoint(stage.folder):
            continue  # resumed, it is measured without being trained again
        differs = stage.differences(flags_of(run))
        for earlier in folders & {*map(Path, stage.args.earlier_models())}:
            made = earlier / weights.name
            if earlier not in done or made.stat().st_mtime > weights.stat().st_mtime:
                differs.append(f"{earlier} is newer or yet to be trained")
        if differs:
            raise SystemExit(
                f"{stage.folder} holds a finished run, but not one of this chain: "
                f"{', '.join(differs)}. Move the folder away to train the stage anew."
            )
        done.append(stage.folder)
    return done


def main(argv: list[str] | None = None) -> None:
    usage = "%(prog)s FOLDER [options] [flags of train.py for every stage]"
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(None, usage, __doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="of recipes named 1_first.yaml, 2_second.yaml")
    parser.add_argument("--pretrained", type=Path, help="ImageNet weights: a file, or a folder")
    parser.add_argument("--last", type=int, metavar="N", help="stop after stage N")
    parser.add_argument("--rehearse", action="store_true", help="as above; by default, drawn faces")
    options, flags = parser.parse_known_args(argv)
    recipes = sorted(options.folder.glob("[0-9]*_*.yaml"), key=lambda p: int(p.stem.split("_")[0]))
    last = len(recipes) if options.last is None else options.last
    if not 0 < last <= len(recipes):
        parser.error(f"{options.folder}: found {len(recipes)} recipes such as 1_first.yaml.")
    if options.pretrained and not options.pretrained.exists():
        parser.error(f"--pretrained {options.pretrained}: no such file or folder.")
    if any(flag.split("=")[0] == "--output_dir" for flag in flags):
        parser.error("--output_dir: each stage has its own, runs/<recipe>.")
    if options.rehearse:
        recipes = [path.resolve() for path in recipes]
        flags = [str(Path(word).resolve()) if Path(word).exists() else word for word in flags]
        flags = [*(() if "--dataset" in flags else DRAWN), *SHORT, *flags]
        Path("runs/rehearsal").mkdir(parents=True, exist_ok=True)
        os.chdir("runs/rehearsal")
        if not Path("model").exists():
            Path("model").symlink_to(Path(__file__).with_name("model"))
    # all are read, so that a mistake in the last shows before the first is trained
    every = [Stage(recipe, flags).with_weights(options.pretrained) for recipe in recipes]
    if options.rehearse and (every[-1].folder / "model.safetensors").is_file():
        shutil.rmtree("runs")  # a rehearsal that was through begins anew
    stages, stopped = every[:last], []
    done = finished(stages)
    for stage in stages:
        if stage.folder not in done and needs_the_hub(stage.args.model):
            print(f"{stage.name} will load ImageNet weights from the Hub; see --help", flush=True)

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        if number == signal.SIGTERM:  # Ctrl-C reaches train.py, which saves its state, by itself
            process.terminate()

    for number, stage in enumerate(stages, 1):
        title = f"Stage {number} of {len(every)}: {stage.name}"
        if stage.folder in done:
            print(f"{title} is done: {stage.folder}", flush=True)
            continue
        words = [str(stage.recipe), *stage.flags]
        if stage.folder.is_dir() and any(stage.folder.iterdir()):
            words += ["--resume_from_checkpoint", "true"]
        print(f"\n{title}\n  {shlex.join(['python', 'train.py', *words])}", flush=True)
        process = subprocess.Popen([sys.executable, Path(__file__).with_name("train.py"), *words])
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        if (status := process.wait()) or stopped:
            how = "was stopped" if stopped or status > 128 else f"failed with status {status}"
            raise SystemExit(f"{title} {how}. The same command as before goes on from here.")
    print(f"The model is in {stages[-1].folder}")


if __name__ == "__main__":
    main()
