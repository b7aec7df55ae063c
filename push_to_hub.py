"""
Publish to the Hugging Face Hub: a trained model, the data entry, the Space.

  look first: the same bytes in a folder, no network
    python push_to_hub.py model --repo_id USER/NAME --dry_run /tmp/look
  the model, as one commit, tagged
    python push_to_hub.py runs/fer2013 --repo_id USER/NAME --private --tag v1
  as a pull request to somebody else's repository
    python push_to_hub.py runs/fer2013 --repo_id THEM/NAME --create_pr
  the data entry, private
    python push_to_hub.py --dataset fer2013.csv --dataset_repo_id USER/fer2013
  the Space, pinned to the model's newest commit
    python push_to_hub.py --space space --space_repo_id USER/NAME --repo_id USER/NAME

The token comes from HF_TOKEN or `hf auth login`. Publishing the same again makes no new commit; a
commit that somebody else made since is never overwritten unasked.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

# One commit, whatever the size: Xet may split a folder into several.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

from huggingface_hub import get_token  # noqa: E402
from huggingface_hub.errors import HFValidationError  # noqa: E402
from huggingface_hub.utils import validate_repo_id  # noqa: E402

from publishing.hub import Hub, PublishError, Target, publish  # noqa: E402


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("run_dir", nargs="?", type=Path, help="output folder of train.py, or model/")
    add("--repo_id", help="USER/NAME of the model")
    add("--private", action="store_true", help="make a new repository private")
    add("--tag", help="tag the commit, and pin the card's snippet to it")
    add("--revision", help="branch to commit to, made if it is not there (default: main)")
    add("--create_pr", action="store_true", help="open a pull request instead of committing")
    add("--parent_commit", help="publish over this newer commit of somebody else's")
    add("--dry_run", type=Path, metavar="DIR", help="write the bytes to DIR; no network")
    add("--no_onnx", action="store_true", help="publish without onnx/")
    add("--dataset_for_onnx", help="faces for ONNX's 8 bits and parity (default: the run's data)")
    add("--dataset", help="publish this source of FER-2013 as a data entry")
    add("--dataset_repo_id", help="USER/NAME of the data entry")
    add("--ferplus_csv", help="FER+ votes to join to the data entry: fer2013new.csv")
    add("--public", action="store_true", help="make the data entry public")
    add("--right_to_publish", default="", help="on what right, in your words; goes into the card")
    add("--space", type=Path, metavar="DIR", help="publish this folder as a Space")
    add("--space_repo_id", help="USER/NAME of the Space")
    args = parser.parse_args(argv)
    if sum(bool(what) for what in (args.run_dir, args.dataset, args.space)) != 1:
        parser.error("give one of RUN_DIR, --dataset SOURCE or --space DIR")
    needed = ["dataset_repo_id"] if args.dataset else ["repo_id"]
    needed += ["space_repo_id"] if args.space else []
    for name in needed:
        if not getattr(args, name):
            parser.error(f"--{name} USER/NAME is needed")
        try:
            validate_repo_id(getattr(args, name))
        except HFValidationError as error:
            parser.error(f"--{name}: {error}")
        if "/" not in getattr(args, name):
            parser.error(f"--{name} must be USER/NAME, but it is {getattr(args, name)!r}")
    if args.public and not args.right_to_publish:
        parser.error(
            "--public needs --right_to_publish '...': FER-2013's pictures are other people's; say "
            "on what right you publish them"
        )
    return args


def stage(args: argparse.Namespace, folder: Path) -> tuple[Target, str]:
    """Writes what is to be published to `folder`; returns where to, and the commit's message."""
    common = {
        "revision": args.revision,
        "create_pr": args.create_pr,
        "tag": args.tag,
        "parent_commit": args.parent_commit,
    }
    if args.dataset:
        from publishing.dataset_entry import stage_dataset

        words = stage_dataset(
            args.dataset,
            folder,
            repo_id=args.dataset_repo_id,
            ferplus_csv=args.ferplus_csv,
            statement=args.right_to_publish,
        )
        print(words)
        target = Target(args.dataset_repo_id, "dataset", not args.public, **common)
        return target, "FER-2013 with its flaws marked"
    if args.space:
        if not (args.space / "app.py").is_file() or not (args.space / "README.md").is_file():
            raise PublishError(f"{args.space}: expected app.py, requirements.txt and README.md.")
        shutil.copytree(
            args.space,
            folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", ".*"),
        )
        return Target(args.space_repo_id, "space", args.private, **common), "The Space"
    from publishing.model import stage_model

    stage_model(
        args.run_dir,
        folder,
        repo_id=args.repo_id,
        tag=args.tag,
        dataset=args.dataset_for_onnx,
        onnx=not args.no_onnx,
    )
    return Target(args.repo_id, "model", args.private, **common), f"Publish {args.tag or 'model'}"


def show(folder: Path) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            print(f"{file.stat().st_size:>12,}  {file.relative_to(folder)}")


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    if args.dry_run and args.dry_run.exists() and any(args.dry_run.iterdir()):
        raise PublishError(f"--dry_run {args.dry_run} is not empty; choose another folder.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        target, message = stage(args, folder)
        from publishing.model import check_no_secret

        check_no_secret(folder, get_token())
        show(folder)
        if args.dry_run:
            shutil.copytree(folder, args.dry_run, dirs_exist_ok=True)
            print(f"Nothing was sent. These files: {args.dry_run.resolve()}")
            return
        variables = {}
        if args.space:
            commit = Hub(Target(args.repo_id), print).head()
            variables = {"MODEL_ID": args.repo_id, "MODEL_REVISION": commit}
        commit = publish(folder, target, message, variables=variables)
    print(f"Published as {commit[:8]}: {Hub(target, print).url()}")


if __name__ == "__main__":
    try:
        main()
    except (PublishError, ValueError) as error:
        raise SystemExit(f"push_to_hub.py: {error}") from None
    except KeyboardInterrupt:
        sys.exit("push_to_hub.py: stopped. The repository has all of it or nothing of it.")
