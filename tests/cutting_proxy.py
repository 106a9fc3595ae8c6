"""A TCP proxy that cuts connections after a random number of bytes of the service's answers."""

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class CuttingProxy:
    """Passes bytes on between clients and a service, for a while.

    Attributes:
        target: Host and port of the service.
        shortest: The fewest bytes of answers after which a connection is cut.
        longest: The most.
        random: Decides in between.
        cuts: How many connections were cut.
        url: Where clients connect to.
    """

    target: tuple[str, int]
    shortest: int
    longest: int
    random: random.Random
    cuts: int = 0
    url: str = ""
    _sockets: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listener: socket.socket) -> None:
        """Take connections until the listener is shut down."""
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            with self._lock:
                self._sockets |= {client, server}
                allowed = self.random.randint(self.shortest, self.longest)
            for task in (
                lambda c=client, s=server: self._pass_on(c, s),
                lambda c=client, s=server, a=allowed: self._pass_on(s, c, a),
            ):
                threading.Thread(target=task, daemon=True).start()

    def close(self) -> None:
        """Cut what is left."""
        with self._lock:
            for one in self._sockets:
                one.close()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, allowed: int | None = None
    ) -> None:
        with contextlib.suppress(OSError):
            while allowed is None or allowed > 0:
                data = source.recv(65536 if allowed is None else min(65536, allowed))
                if not data:
                    break
                target.sendall(data)
                if allowed is not None:
                    allowed -= len(data)
        if allowed == 0:
            with self._lock:
                self.cuts += 1
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cutting(url: str, shortest: int, longest: int, seed: int = 0) -> Iterator[CuttingProxy]:
    """A proxy before a service.

    Args:
        url: Of the service: `http://HOST:PORT`.
        shortest: The fewest bytes of answers after which a connection is cut.
        longest: The most.
        seed: The same seed, the same numbers of bytes.
    """
    host, _, port = url.rpartition("//")[2].rstrip("/").partition(":")
    proxy = CuttingProxy((host, int(port)), shortest, longest, random.Random(seed))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            proxy.close()
