"""
The Space: facial expressions in photos and videos, as a page and as an API.

    python space/app.py                     the model that ships, at http://127.0.0.1:7860

Its variables are in README.md.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    if (HERE / "prediction").is_file():
        raise SystemExit(
            f"{HERE / 'prediction'}: expected a link, but found a text file that names its target, "
            "as git writes it where symbolic links are off. Run: git config core.symlinks true && "
            "git checkout -- model space"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of atexit
    uploads = Path(tempfile.mkdtemp(prefix="space-")).resolve()
    atexit.register(shutil.rmtree, uploads, ignore_errors=True)
    os.environ |= {
        "GRADIO_TEMP_DIR": str(uploads),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_ANALYTICS_MAX_EVENTS": "64",  # requests that it keeps a record of
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file",  # a playlist names addresses
    }
    try:
        from page import serve  # Gradio reads its variables when it is imported
    except ModuleNotFoundError as error:
        raise SystemExit(f"space/app.py: {error}. It needs pip install '.[space]'.") from None

    serve(uploads)


if __name__ == "__main__":
    main()
