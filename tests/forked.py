"""Runs in forked processes: torch, which takes seconds, is not imported anew."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, GradientState


def run_forked(target: Callable[[], None], output: Path, number: int = 1) -> list[int | None]:
    """
    Runs `target` in so many processes, together a group of torch.distributed.

    Args:
        output: file for stdout and stderr of all of them.

    Returns:
        The exit status of each, -N where signal N ended it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_as_rank, args=(rank, number, port, target, output))
        for rank in range(number)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    return [process.exitcode for process in processes]


def _as_rank(rank: int, number: int, port: int, target: Callable[[], None], output: Path) -> None:
    if number > 1:
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number}
        os.environ.update(where | {name: str(value) for name, value in ranks.items()})
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout, sys.stderr = (open(os.dup(file), "w", buffering=1) for _ in range(2))
    for stream in (1, 2):
        os.dup2(file, stream)
    target()
