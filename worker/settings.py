"""The one settings object, read from the environment (prefix `AUTODISTIL_`) at the top."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from autodistil.latency.conditions import DeviceName
from autodistil.selection.on_text import MAX_CHARACTERS


class Settings(BaseSettings):
    """Settings of the API and the workers.

    Attributes:
        data_dir: Folder of SQLite database, registered SuperLMs, and artifacts. API and workers
            must see the same files in it.
        database_url: SQLAlchemy URL; SQLite in the data folder by default.
        broker_url: Redis or Valkey.
        bundle_roots: Folders below which an admin may register bundles; all if empty.
        lease_seconds: How long a worker holds an extraction without a sign of life.
        max_attempts: How often a worker may die on an extraction before it fails.
        sweep_seconds: Time between two looks for lost extractions.
        resend_seconds: A queued extraction's message is sent again after this time.
        threads: CPU threads of a worker's torch; 0 leaves it to torch.
        device: Name of the device that a worker runs on, whose queue it listens on; none if empty.
            Workers may share a name only if their machines are alike.
        teachers: Folder or hub id of each teacher by its name, as JSON; text of a request can be
            used only beside its teacher.
        max_text_characters: Characters that the text of a request may have.
    """

    model_config = SettingsConfigDict(env_prefix="AUTODISTIL_", env_ignore_empty=True)

    data_dir: Path = Path("data")
    database_url: str = ""
    broker_url: str = "redis://127.0.0.1:6379/0"
    bundle_roots: list[Path] = []
    lease_seconds: Annotated[float, Field(gt=0)] = 30.0
    max_attempts: Annotated[int, Field(ge=1)] = 3
    sweep_seconds: Annotated[float, Field(gt=0)] = 5.0
    resend_seconds: Annotated[float, Field(gt=0)] = 60.0
    threads: Annotated[int, Field(ge=0)] = 0
    device: DeviceName | Literal[""] = ""
    teachers: dict[str, str] = {}
    max_text_characters: Annotated[int, Field(ge=1)] = MAX_CHARACTERS

    def model_post_init(self, context: object) -> None:
        """Derive the database's place from the data folder."""
        self.data_dir = self.data_dir.resolve()
        if not self.database_url:
            self.database_url = f"sqlite:///{self.data_dir / 'autodistil.db'}"

    @property
    def superlms_dir(self) -> Path:
        """Where registered bundles are copied to."""
        return self.data_dir / "superlms"

    @property
    def artifacts_dir(self) -> Path:
        """Where artifacts are kept."""
        return self.data_dir / "artifacts"
