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
import traceback
from pathlib import Path

# One commit, whatever the size: Xet may split a folder into several.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
if any(word.partition("=")[0] == "--dry_run" for word in sys.argv):
    os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub and datasets read it

from huggingface_hub import get_token  # noqa: E402
from huggingface_hub.errors import HFValidationError  # noqa: E402
from huggingface_hub.utils import validate_repo_id  # noqa: E402

from publishing.client import PublishError, Target  # noqa: E402
from publishing.hub import Hub, publish  # noqa: E402
from publishing.secrets import check_no_secret, masked  # noqa: E402

OF_ONE_KIND = {
    "run_dir": ("repo_id", "no_onnx", "dataset_for_onnx", "private"),
    "dataset": ("dataset_repo_id", "ferplus_csv", "label_names", "public", "right_to_publish"),
    "space": ("space_repo_id", "repo_id", "private"),
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        super().error(masked(message))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
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
    add("--label_names", nargs="+", help="of integer labels without names, in their order")
    add("--public", action="store_true", help="make the data entry public")
    add("--right_to_publish", default="", help="on what right, in your words; goes into the card")
    add("--space", type=Path, metavar="DIR", help="publish this folder as a Space")
    add("--space_repo_id", help="USER/NAME of the Space")
    args = parser.parse_args(argv)
    given = {name for name, value in vars(args).items() if value}
    kinds = given & {*OF_ONE_KIND}
    if len(kinds) != 1:
        parser.error("give one of RUN_DIR, --dataset SOURCE or --space DIR")
    kind = kinds.pop()
    foreign = {name for names in OF_ONE_KIND.values() for name in names} - {*OF_ONE_KIND[kind]}
    if useless := sorted(given & foreign):
        parser.error(f"--{useless[0]} has no meaning with {kind.replace('run_dir', 'RUN_DIR')}")
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
    if args.create_pr and (args.tag or args.revision or args.parent_commit):
        parser.error(
            "--create_pr proposes a change to main: it goes without --tag, --revision and "
            "--parent_commit"
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
            label_names=args.label_names,
            statement=args.right_to_publish,
        )
        print(words)
        target = Target(args.dataset_repo_id, "dataset", not args.public, **common)
        return target, "FER-2013 with its flaws marked"
    if args.space:
        from publishing.space import stage_space

        stage_space(args.space, folder, say=print)
        return Target(args.space_repo_id, "space", args.private, **common), "The Space"
    from publishing.model import stage_model

    stage_model(
        args.run_dir,
        folder,
        repo_id=args.repo_id,
        revision=args.tag or args.revision,
        dataset=args.dataset_for_onnx,
        onnx=not args.no_onnx,
    )
    return Target(args.repo_id, "model", args.private, **common), f"Publish {args.tag or 'model'}"


def show(folder: Path) -> None:
    sizes = {file: file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()}
    for file, size in sizes.items():
        print(f"{size:>12,}  {file.relative_to(folder)}")
    print(f"{sum(sizes.values()):>12,}  bytes in {len(sizes)} files")


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    dry = args.dry_run
    if dry and dry.exists() and not (dry.is_dir() and not any(dry.iterdir())):
        raise PublishError(f"--dry_run {dry} is there already; give a new folder.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for source in (args.run_dir, args.space):
            if source:
                check_no_secret(source, get_token())
        target, message = stage(args, folder)
        check_no_secret(folder, get_token())
        show(folder)
        if dry:
            shutil.copytree(folder, dry, dirs_exist_ok=True)
            print(f"Nothing was sent. These files: {dry.resolve()}")
            return
        variables = {}
        if args.space:
            model = Hub(Target(args.repo_id), print).info()
            variables = {"MODEL_ID": args.repo_id, "MODEL_REVISION": model.sha}
            print(f"The Space will run {args.repo_id} at {model.sha[:8]}.")
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
        sys.exit("push_to_hub.py: stopped. The repository has all of it or nothing of it.")
    except Exception:
        sys.exit(masked(traceback.format_exc(), get_token()))
