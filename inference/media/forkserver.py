"""Forks a child of the decoder for each file: a fresh interpreter costs five times what decoding a
photo does.

A program of its own, run by `sanitising` with one socket as its standard input. It imports nothing
of this project and meets no byte of any file: a child gets two pipes, and shares with its sisters
what was loaded before any file came. Where one dies of a signal, the server takes no further file:
nobody may try twice against the same layout of memory.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

LOOK_S = 0.2
Deadlines = dict[int, float]


def serve(main: Callable[[], None], link: socket.socket) -> None:
    """Until the link is closed, or a child has crashed; ends when its last child has."""
    children: Deadlines = {}
    gc.freeze()
    open_ = True
    while open_ or children:
        ready = select.select([link] if open_ else [], [], [], LOOK_S if children else None)[0]
        if ready:
            open_ = take(main, link, children)
        if crashed(children):
            open_ = False
            link.close()


def take(main: Callable[[], None], link: socket.socket, children: Deadlines) -> bool:
    """Fork for one order, the decoder's arguments as JSON; False once nobody gives any."""
    order, pipes, *_ = socket.recv_fds(link, 1 << 16, 2)
    if not order:
        return False
    arguments = json.loads(order)
    pid = os.fork()
    if not pid:
        become(main, arguments, pipes)
    for pipe in pipes:
        os.close(pipe)
    children[pid] = time.monotonic() + json.loads(arguments[-1])["wall_s"]
    link.send(b".")
    return True


def become(main: Callable[[], None], arguments: list[str], pipes: list[int]) -> None:
    """In the child: only the two pipes are left open."""
    status = 1
    try:
        os.dup2(pipes[0], 0)
        os.dup2(pipes[1], 1)
        os.closerange(3, 1 << 10)
        sys.argv = ["decoder", *arguments]
        main()
        sys.stdout.flush()
        status = 0
    finally:
        os._exit(status)


def crashed(children: Deadlines) -> bool:
    """Forget who has ended and kill who is overdue; whether one died of a signal."""
    found = False
    for pid in list(children):
        if time.monotonic() > children[pid]:
            os.kill(pid, signal.SIGKILL)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            del children[pid]
            found |= os.WIFSIGNALED(status)
    return found


if __name__ == "__main__":
    serve(runpy.run_path(sys.argv[1])["main"], socket.socket(fileno=os.dup(0)))
