"""Find out who listens on a local port: another user's process may be waiting there for a login."""

import os

import psutil


def is_ours(port: int) -> bool:
    """Whether processes of this user, and only they, listen on the port, on any address."""
    return _own_processes(port) is not None


def was_started_with(port: int, name: str, value: str) -> bool:
    """Whether only processes of this user listen on the port, and each has this variable in its environment.

    A value that a process was started with can be sent to it; a tunnel to another machine, for one, was not.
    """
    processes = _own_processes(port)
    try:
        return processes is not None and all(each.environ().get(name) == value for each in processes)
    except psutil.Error:
        return False


def _own_processes(port: int) -> list[psutil.Process] | None:
    """The processes that listen on the port; None if there are none, or one may be another user's."""
    try:
        found = [
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        ]
        if not found or None in found:  # the system hides the owner of other users' sockets
            return None
        processes = [psutil.Process(pid) for pid in set(found)]
        return processes if all(each.uids().effective == os.geteuid() for each in processes) else None
    except psutil.Error:  # macOS shows them to root only; or the process has just ended
        return None
