"""Who listens on a port of this machine: another user's process may be waiting there for what is sent to a server."""

import os

import psutil


def is_ours(port: int) -> bool:
    """Whether somebody listens there, on any address, and nobody but processes of this user do."""
    return _own_processes(port) is not None


def was_started_with(port: int, name: str, value: str) -> bool:
    """Whether only processes of this user listen there, and each has this variable in its environment.

    What a process has been given already can be sent to it: a tunnel to another machine, for one, was not given it.
    """
    processes = _own_processes(port)
    try:
        return processes is not None and all(each.environ().get(name) == value for each in processes)
    except psutil.Error:
        return False


def _own_processes(port: int) -> list[psutil.Process] | None:
    """The processes that listen there; None where there is none, or one of them may be somebody else's."""
    try:
        found = [
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        ]
        if not found or None in found:  # the system does not show us whose a socket is that is not ours
            return None
        processes = [psutil.Process(pid) for pid in set(found)]
        return processes if all(each.uids().effective == os.geteuid() for each in processes) else None
    except psutil.Error:  # macOS tells root only; or the process has just ended
        return None
