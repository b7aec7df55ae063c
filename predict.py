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
  python predict.py photos/ --crops crops/            cropped faces to train on: docs/own_data.md

The labels are the model's: words that people put on pictures of faces. They describe an
expression, not what a person feels. The exit status is 0, 1 if a file could not be read (the others
are done), or 2 if the command is wrong.
"""

import os
import signal
import sys
import threading

if __package__:  # installed, as fer_efficientnet.predict
    from .prediction.arguments import PROGRAM, parse
    from .prediction.command_line import run
    from .training.console import show_messages
else:
    from prediction.arguments import PROGRAM, parse
    from prediction.command_line import run
    from training.console import show_messages


def main(argv: list[str] | None = None) -> int:
    """The exit status as above; 130 after Ctrl-C, 141 if the reader of the output is gone."""
    show_messages(stream="stderr")  # stdout is for what is asked for
    sys.stdout.reconfigure(errors="backslashreplace")  # names may hold what no encoding has
    before = None
    if threading.current_thread() is threading.main_thread():  # signals can be handled only there
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and files are completed
    try:
        status = run(parse(__doc__, argv))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(f"{PROGRAM}: stopped; what was done by then is written.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `| head`; Python would write the rest once more at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"{PROGRAM}: cannot write there: {error}; free some space, or choose another file "
              "or folder.", file=sys.stderr)  # fmt: skip
        return 2
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
