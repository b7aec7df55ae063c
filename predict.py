"""
Facial expressions in photos and videos, from the shell; installed, its name is facial-emotion.

  python predict.py photo.jpg                         a table: face, label, probability
  python predict.py holiday/ 'more/*.png' --csv -     folders and globs; CSV to the screen
  python predict.py holiday/ --json faces.json --annotate drawn/ --explain heat/
  python predict.py holiday/ --jsonl -                a line of JSON for each photo
  python predict.py interview.mp4 --every 5           a timeline as CSV and plot
  python predict.py rtsp://camera/stream              a stream; tried again when it drops
  python predict.py --webcam 0                        until Ctrl-C; no picture is kept
  python predict.py face.png --detector none          the picture is one tight face
  python predict.py photos/ --crops crops/            faces cut out, to train on: docs/own_data.md

The labels are the model's: words that people put on pictures of faces. They describe an
expression, not what a person feels. Status: 0; 1 if a file could not be read (the others are done);
2 for a wrong command.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm
from transformers.hf_argparser import string_to_bool
from transformers.utils.logging import disable_progress_bar

try:
    if __package__:  # installed, as fer_efficientnet.predict
        from . import modeling
        from .modeling.face_detection import DETECTORS
        from .modeling.photo_reading import PhotoError, read_photo
        from .prediction.annotation import annotate, free_path, heat_picture
        from .prediction.crops import CropWriter, check_folder
        from .prediction.inputs import InputError, collect, describe_passed_over
        from .prediction.output import CsvWriter, JsonLinesWriter, JsonWriter, readable, table_lines
        from .prediction.video import Follower, Timeline, Video, VideoError, VideoFile
    else:
        import modeling
        from modeling.face_detection import DETECTORS
        from modeling.photo_reading import PhotoError, read_photo
        from prediction.annotation import annotate, free_path, heat_picture
        from prediction.crops import CropWriter, check_folder
        from prediction.inputs import InputError, collect, describe_passed_over
        from prediction.output import CsvWriter, JsonLinesWriter, JsonWriter, readable, table_lines
        from prediction.video import Follower, Timeline, Video, VideoError, VideoFile
except ImportError as error:
    raise SystemExit(f"predict.py: {error}. It needs pip install '.[photos]'.") from error

MODEL = Path(__file__).with_name("model")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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
        type=number_or_device,
        metavar="N",
        help="look through webcam N (0 is the first), a device (/dev/video0) or a stream's URL",
    )
    add("--json", metavar="FILE", help="write all faces as JSON; - is the screen")
    add("--jsonl", metavar="FILE", help="write a line of JSON for each photo; - is the screen")
    add("--csv", metavar="FILE", help="write a row for each face; - is the screen")
    add("--annotate", type=Path, metavar="DIR", help="write pictures and videos with boxes there")
    add(
        "--explain", type=Path, metavar="DIR", help="write a heat map of each face in a photo there"
    )
    add("--crops", type=Path, metavar="DIR",
        help="write each face of a photo there, cut out as training wants it")  # fmt: skip
    add("--every", type=int, metavar="N", help="look at every Nth frame of a video (default: 5)")
    add("--timeline", type=Path, default=Path(), metavar="DIR", help="of videos (default: here)")
    add("--disable_tqdm", type=string_to_bool, nargs="?", const=True, default=False,
        metavar="BOOL", help="no progress bars")  # fmt: skip
    add = parser.add_argument_group("model").add_argument
    add("--model", default=str(MODEL), help="folder or Hub id (default: the one that ships)")
    add("--revision", default="main", help="of the Hub id: tag or commit")
    add("--device", help="cpu, cuda, ... (default: what there is)")
    add("--batch_size", type=int, default=32, help="faces a pass (default: 32)")
    add("--prior", nargs="+", type=number_or_name, metavar="P",
        help="learned, train, uniform, or a share for each class")  # fmt: skip
    add("--tta", action="store_true", help="average with the mirrored face")
    add = parser.add_argument_group("faces").add_argument
    add("--detector", choices=DETECTORS, default="auto", help="default: auto")
    add("--detector_path", help="a local YuNet file (default: from the Hub, once)")
    add("--detection_threshold", type=float, default=0.7, help="least score of a face (0.7)")
    add("--min_face_size", type=int, default=16, help="least side of a face in pixels (16)")
    add("--tiles", action="store_true",
        help="find small faces in large photos; ten times as long at 6000 x 4000")  # fmt: skip
    return parser


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser()
    args = parser.parse_args(argv)
    if not args.inputs and args.webcam is None:
        parser.error("give a photo, a video, a folder or --webcam N.")
    files = [name for name in (args.json, args.jsonl, args.csv) if name]
    if files.count("-") > 1:
        parser.error("only one of --json, --jsonl and --csv can go to the screen.")
    if len({*map(os.path.abspath, files)}) < len(files):
        parser.error("--json, --jsonl and --csv need a file each.")
    if args.crops and args.webcam is not None:
        parser.error("--crops is of photos, not of a webcam.")
    if args.every is not None and not args.inputs:
        parser.error("--every is of a video file; a webcam is looked at as fast as it goes.")
    args.every = 5 if args.every is None else args.every
    if args.every < 1 or args.batch_size < 1:
        parser.error("--every and --batch_size must be at least 1.")
    if args.prior:
        named = len(args.prior) == 1 and isinstance(args.prior[0], str)
        try:
            args.prior = modeling.checked_prior(args.prior[0] if named else args.prior, None)
        except ValueError as error:
            parser.error(str(error))
    return args


def number_or_device(word: str) -> int | str:
    return int(word) if word.isdecimal() else word


def number_or_name(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


def build_pipeline(args: argparse.Namespace) -> "modeling.FacialEmotionPipeline":
    """
    By this package's own classes: whatever the model, no code that came with it is run.

    Raises:
        OSError, ValueError, RuntimeError: the model or the detector cannot be loaded, an option is
            out of range, or the device is not there.
    """
    disable_progress_bar()  # of loading the weights, which takes less than a second
    try:
        config, _ = modeling.FerEfficientNetConfig.get_config_dict(
            args.model, revision=args.revision
        )
    except OSError:
        if Path(args.model).is_dir():
            raise
        raise ValueError(
            f"--model {args.model}: no such folder, and no such model can be had from the Hub "
            f"(revision {args.revision}). Give a folder with config.json and model.safetensors, or "
            "an id such as owner/name, with network."
        ) from None
    expected, found = modeling.FerEfficientNetConfig.model_type, config.get("model_type")
    if found != expected:
        raise ValueError(
            f"--model {args.model}: expected a model of type {expected}, but found "
            f"{f'type {found}' if found else 'no config.json of a model'}."
        )
    network = modeling.FerEfficientNetForImageClassification.from_pretrained(
        args.model, revision=args.revision, use_safetensors=True
    )
    processor = modeling.FerEfficientNetImageProcessor.from_pretrained(
        args.model, revision=args.revision
    )
    find = modeling.FacialEmotionPipeline(
        model=network,
        image_processor=processor,
        task="facial-emotion",
        device=args.device,
        batch_size=args.batch_size,
        detector=args.detector,
        detector_path=args.detector_path,
        detection_threshold=args.detection_threshold,
        min_face_size=args.min_face_size,
        tiles=args.tiles,
        prior=args.prior,
        tta=args.tta,
    )
    find(np.zeros((64, 64, 3), np.uint8))  # makes the detector, or says what is missing
    return find


@contextlib.contextmanager
def open_writers(args: argparse.Namespace, labels: list[str]) -> Iterator[list]:
    """
    For --json, --jsonl and --csv; "-" is the screen. Each line is on the disk once it is written,
    and the files are ended however the work ends.
    """
    with contextlib.ExitStack() as files:

        def opened(name: str):
            if name == "-":
                return sys.stdout
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            return files.enter_context(open(name, "w", 1, encoding="utf-8", newline=""))

        writers: list = [JsonWriter(opened(args.json))] if args.json else []
        writers += [JsonLinesWriter(opened(args.jsonl))] if args.jsonl else []
        writers += [CsvWriter(opened(args.csv), labels)] if args.csv else []
        for writer in writers:
            files.callback(writer.end)
        yield writers


def do_photos(args: argparse.Namespace, find, photos: list[str], writers: list) -> dict[str, int]:
    """Counts of photos, faces and failures."""
    counts = {"photos": 0, "faces": 0, "failed": 0}
    width = max(len(readable(name)) for name in photos)
    kept = {"explain": args.explain is not None, "crop": args.crops is not None}
    found = find(iter(photos), on_error="skip", **kept)
    crops = CropWriter(args.crops, args.inputs, photos) if args.crops else None
    bar = tqdm(found, total=len(photos), unit="photo",
               disable=args.disable_tqdm or len(photos) < 2)  # fmt: skip
    with logging_redirect_tqdm():  # what the pipeline says does not break the bar
        for name, faces in zip(photos, bar):
            if args.explain:
                write_heat_maps(args.explain, name, faces or [])
            if crops and faces is not None:
                crops.write(name, faces)
            for face in faces or []:  # what is no text
                face.pop("crop", None)
                face.pop("heatmap", None)
            for writer in writers:
                writer.write(name, faces)
            if faces is None:  # the pipeline has said why
                counts["failed"] += 1
                continue
            counts["photos"] += 1
            counts["faces"] += len(faces)
            if "-" not in (args.json, args.jsonl, args.csv):
                bar.write("\n".join(table_lines(readable(name), faces, width)), file=sys.stdout)
            if args.annotate:
                try:
                    drawn = annotate(read_photo(name), faces, numbers=len(faces) > 1)
                except PhotoError as error:  # no longer what it was
                    bar.write(f"Not drawn: {error}", file=sys.stderr)
                    counts["failed"] += 1
                    continue
                path = free_path(args.annotate, Path(name).stem[:100], ".png")
                Image.fromarray(drawn).save(path)
    if crops and (words := crops.described()):
        print(words, file=sys.stderr)
    return counts


def write_heat_maps(folder: Path, name: str, faces: list[dict]) -> None:
    """A picture for each face of a photo."""
    for number, face in enumerate(faces, 1):
        stem = f"{Path(name).stem[:100]}_{number}_{face['label']}"
        Image.fromarray(heat_picture(face)).save(free_path(folder, stem, ".png"))


def do_video(args: argparse.Namespace, find, video: Video, every: int) -> list[Path]:
    """
    Follows the faces of a video or webcam, looking at every Nth of its frames; paths of timeline,
    plot and annotated video.
    """
    timeline = Timeline(
        free_path(args.timeline, f"{video.stem}_timeline", ".csv"),
        list(find.model.config.id2label.values()),
    )
    drawn = None
    if args.annotate:
        drawn = VideoFile(free_path(args.annotate, video.stem, ".webm"), video.rate)
    waiting: deque = deque()

    def photos():
        for frame in video:
            waiting.append(frame)
            if frame.number % every == 0:
                yield frame.photo

    def draw(frame, people) -> None:
        if drawn:
            drawn.add(annotate(frame.photo, people), frame.time)

    follower, people = Follower(find.model.config.uncertain_below), []
    together = 8 // every if drawn else 8  # the frames between them wait as well
    batch_size = 1 if video.live else max(1, min(args.batch_size, together))
    found = find(photos(), batch_size=batch_size, on_error="skip")
    looked_at = video.length and -(-video.length * video.every // every)
    bar = tqdm(found, total=looked_at, unit="frame", desc=video.name, disable=args.disable_tqdm)
    try:
        for faces in bar:
            while (frame := waiting.popleft()).number % every:
                draw(frame, people)
            people = follower.follow(faces or [], frame.time)
            timeline.add(frame, people)
            bar.set_postfix_str(", ".join(f"{p['person']}: {p['label']}" for p in people)[:60])
            draw(frame, people)
        for frame in waiting:
            draw(frame, people)
    except KeyboardInterrupt:
        bar.write("Stopped.")
    finally:
        bar.close()
        if drawn:
            drawn.end()
        plot = timeline.end(f"{video.name}: faces followed, probabilities smoothed")
    return [timeline.path, plot] + ([drawn.path] if drawn else [])


def main(argv: list[str] | None = None) -> int:
    """Exit status: as above; 130 after Ctrl-C, 141 if the reader of the output is gone."""
    sys.stdout.reconfigure(errors="backslashreplace")  # names may hold what no encoding has
    before = None
    if threading.current_thread() is threading.main_thread():  # where alone it can be set
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and files are ended
    try:
        status = command(argv)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("predict.py: stopped; what was done by then is written.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `| head`; Python would write the rest once more at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"predict.py: cannot write there: {error}; free some space, or choose another file "
              "or folder.", file=sys.stderr)  # fmt: skip
        return 2
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def command(argv: list[str] | None) -> int:
    """The whole command; its exit status."""
    args = parse(argv)
    outputs = [name for name in (args.json, args.jsonl, args.csv) if name]
    say = (lambda words: print(words, file=sys.stderr)) if "-" in outputs else print
    try:
        photos, videos, passed_over = collect(args.inputs)
        if passed_over:
            print(describe_passed_over(passed_over), file=sys.stderr)
        if outputs and not photos:
            raise InputError(
                "--json, --jsonl and --csv are of photos, and there is none; a video's faces are "
                "in its timeline, in the folder of --timeline."
            )
        for flag in ("explain", "crops"):
            if getattr(args, flag) and not photos:
                raise InputError(f"--{flag} is of photos, and there is none.")
        if args.crops:
            check_folder(args.crops)
            if videos:
                print(f"--crops is of photos; passed over: {', '.join(videos)}", file=sys.stderr)
                videos = []
        find = build_pipeline(args)
    except SafetensorError as error:
        print(f"predict.py: --model {args.model}: model.safetensors is broken ({error}). Fetch or "
              "copy it again.", file=sys.stderr)  # fmt: skip
        return 2
    except (OSError, ValueError, ImportError, RuntimeError, AssertionError) as error:
        print(f"predict.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return look(args, find, photos, videos, outputs, say)


def look(
    args: argparse.Namespace, find, photos: list[str], videos: list[str], outputs: list[str], say
) -> int:
    """Through photos, videos and webcam; the status of the command."""
    started, failed, written = time.monotonic(), 0, []
    if photos:
        with open_writers(args, list(find.model.config.id2label.values())) as writers:
            counts = do_photos(args, find, photos, writers)
        failed += counts["failed"]
        rate = len(photos) / (time.monotonic() - started)
        missing = f"; {failed} could not be read" if failed else ""
        say(f"{counts['photos']} photos, {counts['faces']} faces, {rate:.1f} photos/s{missing}")
        written += [Path(name) for name in outputs if name != "-"]
        folders = args.annotate, args.explain, args.crops
        written += [folder for folder in folders if folder and folder.exists()]
    sources = [(source, args.every) for source in videos]
    sources += [] if args.webcam is None else [(args.webcam, 1)]
    for source, every in sources:
        try:
            video = Video(source, 1 if args.annotate else every)  # drawn are all of its frames
            written += do_video(args, find, video, every)
        except VideoError as error:
            print(f"Skipped: {error}", file=sys.stderr)
            failed += 1
        else:
            if video.problem:
                print(f"Incomplete: {video.name}: {video.problem}", file=sys.stderr)
                failed += 1
    if written:
        say("Written: " + ", ".join(str(path.resolve()) for path in written))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
