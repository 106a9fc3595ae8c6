"""The parts of a stack on one machine: processes with logs, started, watched, stopped in order."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

_STOP_SECONDS = 15.0
_RESTARTS = 5
_RESTART_WINDOW = 60.0


@dataclass
class Part:
    """A process that is kept running.

    Attributes:
        name: For messages and the log file's name.
        command: What is run.
        log: Where its output goes.
        environment: Its environment.
    """

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str]
    _process: subprocess.Popen[bytes] | None = None
    _starts: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start the process in a session of its own, so that Ctrl-C reaches the supervisor only."""
        self._starts.append(time.monotonic())
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own commands
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    def revive(self) -> bool:
        """Start the process again if it has ended.

        Returns:
            False if it ended too often in the last minute to be started again.
        """
        if self._process is None or self._process.poll() is None:
            return True
        recent = [t for t in self._starts if time.monotonic() - t < _RESTART_WINDOW]
        if len(recent) >= _RESTARTS:
            return False
        self.start()
        return True

    def stop(self) -> None:
        """Ask the process to end, and end it if it does not in time."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def last_lines(self, count: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def worker_part(folder: Path, environment: dict[str, str]) -> Part:
    """A Celery worker with one spawned child."""
    options = ["--concurrency", "1", "--loglevel", "INFO", "--without-mingle", "--without-gossip"]
    command = [sys.executable, "-m", "celery", "--app", "worker.app", "worker", *options]
    return Part("worker", command, folder / "worker.log", environment)


def api_part(folder: Path, environment: dict[str, str], host: str, port: int) -> Part:
    """The API under uvicorn."""
    options = ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", "5"]
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app", *options]
    return Part("api", command, folder / "api.log", environment)
