import contextlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "cli.main"]


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that belong to a stack's data folder."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            environment = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"AUTODISTIL_DATA_DIR={folder}".encode() in environment or str(folder) in command:
            found.append(command)
    return found


def test_up_serves_a_request_and_stops_without_a_trace(tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = subprocess.Popen(
        [*COMMAND, "up", "--port", "0", "--data-dir", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with up, contextlib.ExitStack() as always:
        always.callback(up.kill)  # a failed assertion must not wait for it
        assert up.stdout is not None
        url = next(line for line in up.stdout if " ready at " in line).split()[4]
        key = data / "admin-key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        second = subprocess.run(
            [*COMMAND, "up", "--port", "0", "--data-dir", str(data)], capture_output=True, text=True
        )
        assert second.returncode == 2
        assert "Another stack runs" in second.stderr
        environment = {
            **os.environ,
            "AUTODISTIL_URL": url,
            "AUTODISTIL_API_KEY": key.read_text().strip(),
        }
        request = [*COMMAND, "request", "--teacher", "all-MiniLM-L6-v2", "--out"]
        done = subprocess.run(
            [*request, str(tmp_path / "student"), "--macs", "34M"],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "superlm       minilm-l6-narrow@1" in done.stdout
        assert (tmp_path / "student" / "receipt.json").is_file()
        refused = subprocess.run(
            [*request, str(tmp_path / "none"), "--macs", "1"],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert refused.returncode == 3
        assert "least possible" in refused.stderr
        assert len(processes_of(data)) >= 3
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0, up.stderr
    assert processes_of(data) == []
