"""
Publish to the Hugging Face Hub: a trained model, the data entry, the Space.

  look first: the same bytes in a folder, no network
    python push_to_hub.py model runs/1_scratch --repo_id USER/NAME --dry_run look
  a model, as one commit with a tag
    python push_to_hub.py model runs/1_scratch --repo_id USER/NAME --private --tag v1
  the data entry, private
    python push_to_hub.py dataset fer2013.csv --repo_id USER/fer2013
  the Space, pinned to the model's newest commit
    python push_to_hub.py space --repo_id USER/NAME --model_id USER/MODEL

`push_to_hub.py model --help` has the flags of a model, and so on. The token comes from HF_TOKEN or
`hf auth login`. Publishing the same again makes no new commit; a commit that somebody else made
since is never overwritten unasked.
"""

import argparse
import os
import shlex
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

# One commit, whatever the size: Xet may split a folder into several.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
if any(word.partition("=")[0] == "--dry_run" for word in sys.argv):
    os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub and datasets read it

from huggingface_hub import get_token  # noqa: E402
from huggingface_hub.errors import HFValidationError  # noqa: E402
from huggingface_hub.utils import validate_repo_id  # noqa: E402

from publishing import PublishError  # noqa: E402
from publishing.client import KINDS, Target  # noqa: E402
from publishing.hub import Hub, publish  # noqa: E402
from publishing.secrets import check_no_secret, masked  # noqa: E402

MODEL = """
Publish a model: weights, code, card and ONNX files of a finished run, checked first.

  look first: the same bytes in a folder, no network
    python push_to_hub.py model runs/1_scratch --repo_id USER/NAME --dry_run look
  the model of this repository, tagged
    python push_to_hub.py model model --repo_id USER/NAME --tag v1 --dataset_for_onnx fer2013.csv
  as a pull request to somebody else's repository
    python push_to_hub.py model runs/1_scratch --repo_id THEM/NAME --create_pr

ONNX files and their parity with PyTorch take about a minute; they are kept in RUN_DIR/onnx and made
again only if the model, the data or versions change.
"""
DATASET = """
Publish FER-2013, from any source that train.py reads but a packed file, as parquet with its flaws
marked.

  look first: the same bytes in a folder, no network
    python push_to_hub.py dataset fer2013.csv --repo_id USER/fer2013 --dry_run look
  private, with FER+'s votes
    python push_to_hub.py dataset fer2013.csv --repo_id USER/fer2013 --ferplus_csv fer2013new.csv

The repository is private unless --public is given with --right_to_publish.
"""
SPACE = """
Publish the Space: its folder, and which model it runs.

  look first: the same bytes in a folder, no network
    python push_to_hub.py space --repo_id USER/NAME --model_id USER/MODEL --dry_run look
  the Space of this repository
    python push_to_hub.py space --repo_id USER/NAME --model_id USER/MODEL
  another folder
    python push_to_hub.py space my_space --repo_id USER/NAME --model_id USER/MODEL

It runs the model's code, and so is pinned to the model's newest commit.
"""

# of the old spelling, in which there were no subcommands
IDS = ("repo_id", "dataset_repo_id", "space_repo_id")
VALUES = ("dry_run", "tag", "revision", "parent_commit", "dataset_for_onnx", "ferplus_csv",
          "right_to_publish")  # fmt: skip
SWITCHES = ("private", "public", "no_onnx", "create_pr")


class Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=layout, allow_abbrev=False, **options)

    def error(self, message: str):
        super().error(masked(message))


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", metavar="model | dataset | space", required=True)

    one = kinds.add_parser("model", description=MODEL, help="publish a finished run")
    one.add_argument(
        "source",
        nargs="?",
        type=Path,
        metavar="RUN_DIR",
        help="output folder of train.py (in the old spelling, without it: model/)",
    )
    add_common(one)
    one.add_argument("--private", action="store_true", help="make a new repository private")
    one.add_argument("--no_onnx", action="store_true", help="publish without onnx/")
    one.add_argument(
        "--dataset_for_onnx",
        metavar="SOURCE",
        help="faces for ONNX's 8-bit ranges and its parity (default: the run's data)",
    )

    one = kinds.add_parser("dataset", description=DATASET, help="publish FER-2013")
    one.add_argument("source", metavar="SOURCE", help="as train.py --dataset takes it")
    add_common(one)
    one.add_argument("--ferplus_csv", metavar="FILE", help="FER+ votes to join: fer2013new.csv")
    one.add_argument(
        "--label_names", nargs="+", metavar="NAME", help="of integer labels, in their order"
    )
    one.add_argument(
        "--classes",
        choices=("fer2013", "any"),
        default="fer2013",
        help="any: those that the data have, which then need --dataset_name (default: fer2013)",
    )
    one.add_argument(
        "--dataset_name", default="", metavar="WORDS", help="what the card calls other data"
    )
    one.add_argument("--public", action="store_true", help="make a new repository public")
    one.add_argument(
        "--right_to_publish",
        default="",
        metavar="WORDS",
        help="on what right you publish it, in your words; goes into the card",
    )

    one = kinds.add_parser("space", description=SPACE, help="publish the Space")
    one.add_argument(
        "source",
        type=Path,
        nargs="?",
        default=Path("space"),
        metavar="DIR",
        help="its folder (default: space)",
    )
    add_common(one)
    one.add_argument("--model_id", required=True, metavar="USER/MODEL", help="the model it runs")
    one.add_argument("--private", action="store_true", help="make a new repository private")
    return parser


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(parser=parser)
    add = parser.add_argument
    add("--repo_id", required=True, metavar="USER/NAME", help="the repository to publish to")
    add("--dry_run", type=Path, metavar="DIR", help="write the bytes to DIR; no network")
    add("--tag", help="tag the commit; a model's card then names the tag in its snippets")
    add("--revision", metavar="BRANCH", help="branch to commit to, made if new (default: main)")
    add("--create_pr", action="store_true", help="open a pull request instead of committing")
    add("--parent_commit", metavar="ID", help="publish over this newer commit of somebody else's")


def parse(argv: list[str] | None) -> argparse.Namespace:
    argv, parser = sys.argv[1:] if argv is None else argv, make_parser()
    if not argv:
        parser.error("say what to publish: model RUN_DIR, dataset SOURCE or space")
    if argv[0] not in (*KINDS, "-h", "--help"):
        argv = in_new_spelling(argv, parser)
        say_new_spelling(argv)
    args = parser.parse_args(argv)
    if args.source is None:  # "model" was the folder itself
        say_new_spelling(["model", *argv])
        args.source = Path("model")
    error = args.parser.error
    for name in {"repo_id", "model_id"} & {*vars(args)}:
        value = getattr(args, name)
        try:
            validate_repo_id(value)
        except HFValidationError as problem:
            error(f"--{name}: {problem}")
        if "/" not in value:
            error(f"--{name} must be USER/NAME, but it is {value!r}")
    if args.kind == "dataset" and args.public and not args.right_to_publish:
        error(
            "--public needs --right_to_publish '...': pictures of faces are other people's; say "
            "on what right you publish them"
        )
    if args.kind == "dataset" and (args.classes == "any") != bool(args.dataset_name):
        error("--classes any needs --dataset_name '...', and FER-2013 has its name")
    if args.create_pr and (args.tag or args.revision or args.parent_commit):
        error(
            "--create_pr proposes a change to main: it goes without --tag, --revision and "
            "--parent_commit"
        )
    return args


def in_new_spelling(argv: list[str], parser: Parser) -> list[str]:
    """Of the old ones: RUN_DIR, --dataset SOURCE or --space DIR, each with ids of its own."""
    old = Parser(add_help=False, usage=parser.format_usage().removeprefix("usage: "))
    old.add_argument("run_dir", nargs="?")
    for name in ("dataset", "space", *IDS, *VALUES):
        old.add_argument(f"--{name}")
    for name in SWITCHES:
        old.add_argument(f"--{name}", action="store_true")
    old.add_argument("--label_names", nargs="+")
    given = {name: value for name, value in vars(old.parse_args(argv)).items() if value}
    sources = [name for name in ("run_dir", "dataset", "space") if name in given]
    if len(sources) != 1:
        parser.error("say what to publish: model RUN_DIR, dataset SOURCE or space")
    kind = sources[0].replace("run_dir", "model")
    words, renamed = [kind, given.pop(sources[0])], {f"{kind}_repo_id": "repo_id"}
    if kind == "dataset" and {"repo_id", "dataset_repo_id"} <= {*given}:
        parser.error("--repo_id has no meaning beside --dataset_repo_id; give one of them")
    if kind == "space":
        renamed["repo_id"] = "model_id"
    for name, value in given.items():
        words.append(f"--{renamed.get(name, name)}")
        words += [] if value is True else [value] if isinstance(value, str) else value
    return words


def say_new_spelling(argv: list[str]) -> None:
    words = masked(shlex.join(argv), get_token())
    print(f"push_to_hub.py: this is now spelled: push_to_hub.py {words}")


def stage(args: argparse.Namespace, folder: Path) -> tuple[Target, str]:
    """Writes what is to be published to `folder`; returns where to, and the commit's message."""
    if args.kind == "dataset":
        from publishing.dataset_entry import stage_dataset

        summary = stage_dataset(
            args.source,
            folder,
            repo_id=args.repo_id,
            ferplus_csv=args.ferplus_csv,
            label_names=args.label_names,
            classes=args.classes,
            dataset_name=args.dataset_name,
            statement=args.right_to_publish,
        )
        print(summary)
        message = f"{args.dataset_name or 'FER-2013'} with its flaws marked"
    elif args.kind == "space":
        from publishing.space import stage_space

        stage_space(args.source, folder, repo_id=args.repo_id, model_id=args.model_id, say=print)
        message = "The Space"
    else:
        from publishing.model import stage_model

        stage_model(
            args.source,
            folder,
            repo_id=args.repo_id,
            revision=args.tag or args.revision,
            dataset=args.dataset_for_onnx,
            onnx=not args.no_onnx,
            say=print,
        )
        message = f"Publish {args.tag or 'model'}"
    target = Target(
        args.repo_id,
        args.kind,
        private=not args.public if args.kind == "dataset" else args.private,
        revision=args.revision,
        create_pr=args.create_pr,
        tag=args.tag,
        parent_commit=args.parent_commit,
    )
    return target, message


def show(folder: Path) -> None:
    sizes = {file: file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()}
    for file, size in sizes.items():
        print(f"{size:>12,}  {file.relative_to(folder)}")
    print(f"{sum(sizes.values()):>12,}  bytes in {len(sizes)} files")


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    dry = args.dry_run
    if dry and dry.exists() and not (dry.is_dir() and not any(dry.iterdir())):
        raise PublishError(f"--dry_run {dry} exists and is not empty; give a new folder.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.kind != "dataset":
            check_no_secret(args.source, get_token())
        target, message = stage(args, folder)
        check_no_secret(folder, get_token())
        show(folder)
        if dry:
            shutil.copytree(folder, dry, dirs_exist_ok=True)
            print(f"Nothing was sent. The files are in {dry.resolve()}")
            return
        variables = {}
        if args.kind == "space":
            model = Hub(Target(args.model_id), print).info()
            variables = {"MODEL_ID": args.model_id, "MODEL_REVISION": model.sha}
            print(f"The Space will run {args.model_id} at {model.sha[:8]}.")
            if model.private:
                print("The model is private: give the Space a secret HF_TOKEN that may read it.")
        commit = publish(folder, target, message, variables=variables)
    print(f"Published as {commit[:8]}: {Hub(target, print).url()}")


if __name__ == "__main__":
    try:
        main()
    except ImportError as error:
        raise SystemExit(f"push_to_hub.py: {error}. Run: pip install '.[train,publish]'") from None
    except (PublishError, ValueError, RuntimeError, OSError) as error:
        raise SystemExit(masked(f"push_to_hub.py: {error}", get_token())) from None
    except KeyboardInterrupt:
        print(
            "push_to_hub.py: stopped. The repository has all of it or nothing of it.",
            file=sys.stderr,
        )
        sys.exit(130)
    except Exception:
        sys.exit(masked(traceback.format_exc(), get_token()))
