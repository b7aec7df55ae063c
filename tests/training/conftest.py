import pytest

from training.arguments import parse_arguments


@pytest.fixture
def refused(capsys):
    """Arguments of train.py -> the message on stderr with which it ends."""

    def parse_refused(*argv) -> str:
        with pytest.raises(SystemExit) as end:
            parse_arguments("", [str(value) for value in argv])
        assert end.value.code == 2
        return " ".join(capsys.readouterr().err.split("error: ")[-1].split())

    return parse_refused
