"""The flags of predict.py. Imports nothing heavy: --help and a wrong flag are answered at once."""

import argparse
import difflib
import itertools
import os
from pathlib import Path

from . import modeling
from .sources import VIDEO_SUFFIXES

MODEL = Path(__file__).parents[1] / "model"
PROGRAM = "predict.py" if __package__ == "prediction" else "facial-emotion"  # installed


def make_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="photo, video, folder, glob, URL of a photo or video, stream (rtsp://...) or pipe",
    )
    add(
        "--webcam",
        type=_number_or_device,
        metavar="N",
        help="watch webcam N (0 is the first), a device (/dev/video0) or the URL of a stream",
    )
    add("--json", metavar="FILE", help="write all faces as JSON; - is the screen")
    add("--jsonl", metavar="FILE", help="write a line of JSON per photo; - is the screen")
    add("--csv", metavar="FILE", help="write a row per face; - is the screen")
    add("--annotate", type=Path, metavar="DIR", help="save photos and videos with boxes there")
    add("--explain", type=Path, metavar="DIR", help="save a heat map of each face in a photo there")
    add("--crops", type=Path, metavar="DIR",
        help="save each face in a photo there, cropped for training")  # fmt: skip
    add("--every", type=int, metavar="N", help="look at every Nth frame of a video (default: 5)")
    add("--timeline", type=Path, default=Path(), metavar="DIR",
        help="save the timelines of videos there (default: here)")  # fmt: skip
    add("--disable_tqdm", type=_true_false_or_input, nargs="?", const=True, default=False,
        metavar="BOOL", help="no progress bars")  # fmt: skip
    add = parser.add_argument_group("model").add_argument
    add("--model", default=str(MODEL), help="folder or Hub id (default: the one that ships)")
    add("--revision", default="main", help="tag or commit of the model on the Hub")
    add("--engine", choices=("onnx", "torch"),
        help="default: onnx, if the model has model.onnx; torch for heat maps")  # fmt: skip
    add("--device", help="of torch: cpu, cuda, ... (default: a GPU if there is one)")
    add("--batch_size", type=int, default=32, help="faces per pass (default: 32)")
    add("--prior", nargs="+", metavar="P",
        help="learned, train, uniform, or a share for each class")  # fmt: skip
    add("--tta", action="store_true", help="average with the mirrored face")
    add = parser.add_argument_group("faces").add_argument
    add("--detector", choices=modeling.names.DETECTORS, default="auto", help="default: auto")
    add("--detector_path", help="a local YuNet file (default: the model's)")
    add("--detection_threshold", type=float, default=0.7,
        help="lowest score of a face (default: 0.7)")  # fmt: skip
    add("--min_face_size", type=int, default=24,
        help="smaller faces, in pixels, are marked uncertain (default: 24)")  # fmt: skip
    add("--tiles", action="store_true",
        help="find small faces in large photos; ten times as long at 6000 x 4000")  # fmt: skip
    return parser


def parse(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """
    Args:
        description: what --help begins with.
        argv: what follows the program's name; None: of this process.

    Raises:
        SystemExit: 2 for flags that are wrong or do not go together, 0 after --help.
    """
    parser = make_parser(description)
    args, others = parser.parse_known_args(argv)
    if unknown := [word for word in others if word.startswith("-")]:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        near = difflib.get_close_matches(unknown[0].partition("=")[0], flags, n=1)
        hint = f"did you mean {near[0]}?" if near else "see --help."
        parser.error(f"unrecognized arguments: {' '.join(unknown)}; {hint}")
    args.inputs += _inputs_after_flags(args) + others
    if args.prior:
        by_name = len(args.prior) == 1 and isinstance(args.prior[0], str)
        try:
            args.prior = modeling.checked_prior(args.prior[0] if by_name else args.prior, None)
        except ValueError as error:
            parser.error(str(error))
    if not args.inputs and args.webcam is None:
        parser.error("give a photo, a video, a folder or --webcam N.")
    files = text_outputs(args)
    for file in files:
        if not file or Path(file).suffix.lower() in modeling.PHOTO_SUFFIXES | VIDEO_SUFFIXES:
            parser.error(f"--json, --jsonl and --csv take a file to write, not {file!r}.")
    if files.count("-") > 1:
        parser.error("only one of --json, --jsonl and --csv can go to the screen.")
    if len({*map(os.path.realpath, files)}) < len(files):
        parser.error("--json, --jsonl and --csv need a file each.")
    if args.crops and args.webcam is not None:
        parser.error("--crops is of photos, not of a webcam.")
    if args.every is not None and not args.inputs:
        parser.error("--every is of a video file; a webcam is looked at as fast as it goes.")
    if args.engine == "onnx" and (args.explain or args.device not in (None, "cpu")):
        parser.error("--explain and other devices than the CPU need --engine torch.")
    args.every = 5 if args.every is None else args.every
    if args.every < 1 or args.batch_size < 1:
        parser.error("--every and --batch_size must be at least 1.")
    return args


def _inputs_after_flags(args: argparse.Namespace) -> list[str]:
    """Takes from --prior and --disable_tqdm the inputs that they took for their own values."""
    inputs = []
    if isinstance(args.disable_tqdm, str):
        inputs, args.disable_tqdm = [args.disable_tqdm], True
    if args.prior:
        values = [_number_or_name(word) for word in args.prior]
        is_name, names = isinstance(values[0], str), modeling.calibration.PRIORS
        others = itertools.takewhile(
            lambda value: value in names if is_name else isinstance(value, float), values[1:]
        )
        own = 1 + len([*others])
        inputs += args.prior[own:]
        args.prior = values[:own]
    return inputs


def text_outputs(args: argparse.Namespace) -> list[str]:
    """The files that --json, --jsonl and --csv name; "-" is the screen."""
    return [name for name in (args.json, args.jsonl, args.csv) if name is not None]


def _number_or_device(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _number_or_name(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _true_false_or_input(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)
