"""The border of the ``spaces`` package as a ZeroGPU Space has it, without a GPU: a function runs in a forked process,
and what goes in and what comes out is pickled. An exception comes back as the name of its class.

Like the package's own, a process is kept for the next call, and ends a generator that nobody listens to any more.
"""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

_fork = multiprocessing.get_context("fork")


def GPU(task: Callable[..., Iterator[Any]], *, duration: int) -> Callable[..., Iterator[Any]]:  # noqa: N802
    """Run ``task``, a generator function, in a process of its own."""
    assert duration > 0
    workers: list[tuple[Any, Any, Any]] = []

    @functools.wraps(task)
    def borrowed(*args: Any) -> Iterator[Any]:
        if not workers:
            ours, theirs = _fork.Pipe()
            stopped = _fork.Event()
            _fork.Process(target=_work, args=(task, theirs, stopped), daemon=True).start()
            workers.append((ours, stopped, threading.Lock()))
        pipe, stopped, turn = workers[0]
        with turn:
            stopped.clear()
            pipe.send_bytes(pickle.dumps(args))
            ended = False
            try:
                while True:
                    kind, value = pickle.loads(pipe.recv_bytes())
                    ended = kind != "yielded"
                    if kind == "failed":
                        raise RuntimeError(f"ZeroGPU worker error: {value}")
                    if ended:
                        return
                    yield value
            finally:
                if not ended:
                    stopped.set()
                    while pickle.loads(pipe.recv_bytes())[0] == "yielded":
                        pass

    return borrowed


def _work(task: Callable[..., Iterator[Any]], pipe: Any, stopped: Any) -> None:
    while True:
        args = pickle.loads(pipe.recv_bytes())
        try:
            generator = task(*args)
            for value in generator:
                if stopped.is_set():
                    generator.close()  # type: ignore[attr-defined]
                    break
                pipe.send_bytes(pickle.dumps(("yielded", value)))
            pipe.send_bytes(pickle.dumps(("ended", None)))
        except Exception as error:  # noqa: BLE001 - as the package does
            pipe.send_bytes(pickle.dumps(("failed", type(error).__name__)))
