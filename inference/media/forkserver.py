"""Forks a child of the decoder for each file: a fresh interpreter costs five times what decoding a
photo does.

A program of its own, run by `sanitising` with one socket as its standard input. It imports nothing
of this project and meets no byte of any file: a child gets a socket of its own, and shares with its
sisters what was loaded before any file came. Where one dies of a signal, the server takes no
further file: nobody may try twice against the same layout of memory.
"""

import gc
import json
import math
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

LOOK_S = 0.2


class Child(NamedTuple):
    """Until when it may work, and the pipe that is closed when nobody waits for it any more."""

    until: float
    leash: int


Children = dict[int, Child]


def serve(main: Callable[[], None], link: socket.socket) -> None:
    """Until the link is closed, or a child has crashed; ends when its last child has."""
    children: Children = {}
    gc.freeze()
    open_ = True
    while open_ or children:
        watched = [child.leash for child in children.values()] + [link.fileno()] * open_
        ready = select.select(watched, [], [], LOOK_S if children else None)[0]
        if open_ and link.fileno() in ready:
            open_ = take(main, link, children)
        open_ = not crashed(children, ready) and open_
        if not open_:
            link.close()


def take(main: Callable[[], None], link: socket.socket, children: Children) -> bool:
    """Fork for one order, the decoder's arguments as JSON; False once nobody gives any, or where
    the machine has no room for a child."""
    order, given, *_ = socket.recv_fds(link, 1 << 16, 2)
    if not order:
        return False
    arguments = json.loads(order)
    wall_s = json.loads(arguments[-1])["wall_s"]
    talk, leash = given
    try:
        pid = os.fork()
    except OSError:
        os.close(talk)
        os.close(leash)
        return False
    if not pid:
        become(main, arguments, talk, wall_s)
    os.close(talk)
    children[pid] = Child(time.monotonic() + wall_s, leash)
    link.send(b".")
    return True


def become(main: Callable[[], None], arguments: list[str], talk: int, wall_s: float) -> None:
    """In the child: only the socket is left open, as standard input and output."""
    status = 1
    try:
        os.dup2(talk, 0)
        os.dup2(talk, 1)
        os.closerange(3, 1 << 10)
        signal.alarm(math.ceil(wall_s) + 1)  # should the server be gone by then
        sys.argv = ["decoder", *arguments]
        main()
        sys.stdout.flush()
        status = 0
    finally:
        os._exit(status)


def crashed(children: Children, ready: list[int]) -> bool:
    """Kill who is overdue or waited for by nobody, and forget who has ended; whether one died of a
    signal."""
    found = False
    for pid, child in list(children.items()):
        if time.monotonic() > child.until or child.leash in ready:
            os.kill(pid, signal.SIGKILL)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            os.close(child.leash)
            del children[pid]
            found |= os.WIFSIGNALED(status)
    return found


if __name__ == "__main__":
    serve(runpy.run_path(sys.argv[1])["main"], socket.socket(fileno=os.dup(0)))
