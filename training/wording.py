"""What error messages say alike."""

import difflib
from collections.abc import Iterable


def first_line(error: Exception) -> str:
    """The start of another package's message, which may be pages long."""
    return (str(error).strip().splitlines() or [""])[0][:200]


def unknown_name(name: str, known: Iterable[str], kind: str) -> str:
    """A sentence about a name that is not known, with the nearest one that is."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "see --help."
    return f"unknown {kind} {name!r}; {hint}"
