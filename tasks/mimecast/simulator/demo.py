"""placeholder"""

from tasks.mimecast.simulator.rows import Row


def demo_rows(anchor: int) -> list[Row]:
    return []
