"""Find out who listens on a local port: a process of another user may wait there for a login."""

import os

import psutil


def is_ours(port: int) -> bool:
    """Whether processes of this user, and only they, listen on the port, on any address."""
    return _own_processes(port) is not None


def was_started_with(port: int, name: str, value: str) -> bool:
    """Whether only processes of this user listen on the port, and each has this variable in its environment.

    A process that already has a secret in its environment may be sent it; a tunnel to another machine has not.
    """
    processes = _own_processes(port)
    try:
        return processes is not None and all(process.environ().get(name) == value for process in processes)
    except psutil.Error:
        return False


def _own_processes(port: int) -> list[psutil.Process] | None:
    """The processes that listen on the port; None if there are none, or one may belong to another user."""
    try:
        found = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        ]
        if not found or None in found:  # the system hides the owner of other users' sockets
            return None
        processes = [psutil.Process(pid) for pid in set(found)]
        return processes if all(process.uids().effective == os.geteuid() for process in processes) else None
    except psutil.Error:  # macOS shows them to root only; or the process has just ended
        return None
