import os
import subprocess
import sys

from worker.lease import is_dead_neighbour, this_owner


def test_only_a_process_of_this_host_that_is_gone_is_a_dead_neighbour() -> None:
    host = this_owner().rpartition(":")[0]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_dead_neighbour(f"{host}:{ended.pid}")
    assert not is_dead_neighbour(this_owner())
    assert not is_dead_neighbour(f"{host}:{os.getppid()}")
    assert not is_dead_neighbour(f"other-{host}:{ended.pid}")
    assert not any(map(is_dead_neighbour, (None, "", "x", f"{host}:", f"{host}:x")))
