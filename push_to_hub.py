"""
Publish to the Hugging Face Hub: a trained model, the data entry, the Space.

  a model, as one commit with a tag
    python push_to_hub.py model runs/1_scratch --repo_id USER/NAME --private --tag v1
  the data entry, private
    python push_to_hub.py dataset fer2013.csv --repo_id USER/fer2013
  the Space, pinned to the model's newest commit
    python push_to_hub.py space --repo_id USER/NAME --model_id USER/MODEL
  look first: the same files in a folder, no network
    the same command and --dry_run look

`push_to_hub.py model --help` has the flags of a model, and so on. The token comes from HF_TOKEN or
`hf auth login`. Publishing the same again makes no new commit, and a commit that somebody else made
in the meantime is only overwritten if you say so.
"""

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from publishing import PublishError
from publishing.secrets import check_no_secret, masked
from training.console import show_messages
from training.early_checks import dataset_problem

# One commit, whatever the size: Xet may split a folder into several.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

MODEL = """
Publish a model: weights, code, card and ONNX file of a finished run, checked first. The card is
made anew from the run; one that was edited by hand is not sent.

  look first: the same files in a folder, no network
    python push_to_hub.py model runs/1_scratch --repo_id USER/NAME --dry_run look
  the model of this repository, tagged
    python push_to_hub.py model model --repo_id USER/NAME --tag v1 --dataset_for_onnx fer2013.csv
  as a pull request to somebody else's repository
    python push_to_hub.py model runs/1_scratch --repo_id THEM/NAME --create_pr

model.onnx is the run's; where a run has none of its weights, it is made and measured there, which
takes about a minute.
"""
DATASET = """
Publish FER-2013, from any source that train.py reads except a packed file, as parquet with its
flaws marked. The repository is private unless --public is given with --right_to_publish.

  look first: the same files in a folder, no network
    python push_to_hub.py dataset fer2013.csv --repo_id USER/fer2013 --dry_run look
  private, with FER+'s votes
    python push_to_hub.py dataset fer2013.csv --repo_id USER/fer2013 --ferplus_csv fer2013new.csv
"""
SPACE = """
Publish the Space: its folder, and which model it runs. It runs the model's code, and so is pinned
to the model's newest commit.

  look first: the same files in a folder, no network
    python push_to_hub.py space --repo_id USER/NAME --model_id USER/MODEL --dry_run look
  another folder than space/
    python push_to_hub.py space my_space --repo_id USER/NAME --model_id USER/MODEL
  as a static Space, whose networks run in the visitor's browser, from the model's folder
    python push_to_hub.py space model --static --repo_id USER/NAME --model_id USER/MODEL
"""


class Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=layout, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        super().error(masked(message))


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", metavar="model | dataset | space", required=True)

    add = kinds.add_parser("model", description=MODEL, help="publish a finished run").add_argument
    add("source", type=Path, metavar="RUN_DIR", help="output folder of train.py")
    add_common(add)
    add("--private", action="store_true", help="make a new repository private")
    add("--no_onnx", action="store_true", help="publish without model.onnx")
    text = "faces to measure model.onnx on, if it is made now (default: the run's data)"
    add("--dataset_for_onnx", metavar="SOURCE", help=text)

    add = kinds.add_parser("dataset", description=DATASET, help="publish FER-2013").add_argument
    add("source", metavar="SOURCE", help="as train.py --dataset takes it")
    add_common(add)
    add("--ferplus_csv", metavar="FILE", help="FER+ votes to join: fer2013new.csv")
    add("--label_names", nargs="+", metavar="NAME", help="of integer labels, in their order")
    text = "any: the data's own, with --dataset_name (default: fer2013)"
    add("--classes", choices=("fer2013", "any"), default="fer2013", help=text)
    add("--dataset_name", default="", metavar="NAME", help="what the card calls other data")
    add("--public", action="store_true", help="make a new repository public")
    text = "on what right you publish it, in your words; goes into the card"
    add("--right_to_publish", default="", metavar="STATEMENT", help=text)

    add = kinds.add_parser("space", description=SPACE, help="publish the Space").add_argument
    text = "its folder (default: space); with --static, the model's (default: model)"
    add("source", type=Path, nargs="?", metavar="DIR", help=text)
    add("--static", action="store_true", help="the page that runs in the visitor's browser")
    add_common(add)
    add("--model_id", required=True, metavar="USER/MODEL", help="the model it runs")
    add("--private", action="store_true", help="make a new repository private")
    for of_kind in kinds.choices.values():
        of_kind.set_defaults(error=of_kind.error)
    return parser


def add_common(add: Callable) -> None:
    """add: a parser's `add_argument`."""
    add("--repo_id", required=True, metavar="USER/NAME", help="the repository to publish to")
    add("--dry_run", type=Path, metavar="DIR", help="write the files to DIR; no network")
    add("--tag", help="tag the commit; a model's card then names the tag in its snippets")
    add("--revision", metavar="BRANCH", help="branch to commit to, made if new (default: main)")
    add("--create_pr", action="store_true", help="open a pull request instead of committing")
    add("--parent_commit", metavar="ID", help="publish over this newer commit of somebody else's")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags, checked. Exits with one message if they are wrong."""
    args = make_parser().parse_args(argv)
    error = args.error
    if args.kind == "space" and args.source is None:
        args.source = Path("model" if args.static else "space")
    if args.dry_run:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

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


def check_paths(args: argparse.Namespace) -> None:
    """Raises PublishError if a path is wrong, before anything is imported that takes seconds."""
    dry_run, source = args.dry_run, Path(args.source)
    if dry_run and dry_run.exists() and not (dry_run.is_dir() and not any(dry_run.iterdir())):
        raise PublishError(f"--dry_run {dry_run} exists and is not empty; give a new folder.")
    if args.kind == "model":
        from publishing.run_check import check_run

        check_run(source)
    elif args.kind == "space" and args.static:
        from space.assemble import check_model

        check_model(source)
    elif args.kind == "space":
        from publishing.space import check_space

        check_space(source)
    elif problem := dataset_problem(args.source):
        raise PublishError(problem)


def stage(args: argparse.Namespace, folder: Path) -> str:
    """Writes what is to be published to `folder`; returns the commit's message."""
    if args.kind == "model":
        from publishing.model import stage_model

        revision = args.tag or args.revision
        options = {"dataset": args.dataset_for_onnx, "onnx": not args.no_onnx}
        stage_model(args.source, folder, repo_id=args.repo_id, revision=revision, **options)
        return f"Publish {args.tag or 'model'}"
    if args.kind == "space":
        from publishing.space import name_space, stage_space

        ids = {"repo_id": args.repo_id, "model_id": args.model_id}
        if args.static:
            from space.assemble import PAGE, assemble

            assemble(args.source, folder)
            shutil.copyfile(PAGE / "README.md", folder / "README.md")
            name_space(folder / "README.md", **ids)
        else:
            stage_space(args.source, folder, **ids)
        return "The Space"
    from publishing.dataset_entry import stage_dataset

    names = ("repo_id", "ferplus_csv", "label_names", "classes", "dataset_name")
    options = {name: getattr(args, name) for name in names}
    print(stage_dataset(args.source, folder, **options, statement=args.right_to_publish))
    return f"{args.dataset_name or 'FER-2013'} with its flaws marked"


def show(folder: Path) -> None:
    sizes = {file: file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()}
    for file, size in sizes.items():
        print(f"{size:>12,}  {file.relative_to(folder)}")
    print(f"{sum(sizes.values()):>12,}  bytes in {len(sizes)} files")


def send(args: argparse.Namespace, folder: Path, message: str) -> None:
    from publishing.hub import Hub, Target, publish

    target = Target(
        args.repo_id,
        args.kind,
        space_sdk="static" if args.kind == "space" and args.static else "gradio",
        private=not args.public if args.kind == "dataset" else args.private,
        revision=args.revision,
        create_pr=args.create_pr,
        tag=args.tag,
        parent_commit=args.parent_commit,
    )
    variables = {}
    if args.kind == "space" and not args.static:  # a static one holds its model
        model = Hub(Target(args.model_id)).info()
        variables = {"MODEL_ID": args.model_id, "MODEL_REVISION": model.sha}
        print(f"The Space will run {args.model_id} at {model.sha[:8]}.")
        if model.private:
            print("The model is private: give the Space a secret HF_TOKEN that may read it.")
    commit = publish(folder, target, message, variables=variables)
    print(f"Published as {commit[:8]}: {Hub(target).url()}")


def main(argv: list[str] | None = None) -> None:
    show_messages()
    args = parse(argv)
    check_paths(args)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.kind != "dataset":
            check_no_secret(args.source, token())
        message = stage(args, folder)
        check_no_secret(folder, token())
        show(folder)
        if args.dry_run:
            shutil.copytree(folder, args.dry_run, dirs_exist_ok=True)
            print(f"Nothing was sent. The files are in {args.dry_run.resolve()}")
        else:
            send(args, folder, message)


def token() -> str | None:
    from huggingface_hub import get_token

    return get_token()


if __name__ == "__main__":
    try:
        main()
    except ImportError as error:
        raise SystemExit(f"push_to_hub.py: {error}. Run: pip install '.[train,publish]'") from None
    except (PublishError, ValueError, RuntimeError, OSError) as error:
        raise SystemExit(masked(f"push_to_hub.py: {error}", token())) from None
    except KeyboardInterrupt:
        print(
            "push_to_hub.py: stopped. The repository has all of it or nothing of it.",
            file=sys.stderr,
        )
        sys.exit(130)
    except Exception:
        sys.exit(masked(traceback.format_exc(), token()))
