"""The one settings object, read from the environment (prefix `AUTODISTIL_`) at the top."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
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
        idempotency_hours: How long the first answer to an `Idempotency-Key` is remembered.
        event_heartbeat_seconds: Time between two comments in a stream of events.
        event_stream_seconds: The longest that a stream of events lasts; its reader resumes.
        requests_per_minute: Of an API key that has no number of its own; 0 is no limit.
        failed_logins_per_minute: Of one address; 0 is no limit.
        extractions_per_day: In 24 hours, of an API key that has no number of its own; 0 is no
            limit.
        webhook_secret: Signs webhooks: `whsec_` and base64. By default what
            DATA_DIR/webhook-secret holds; without either no webhook is taken.
        webhook_retry_seconds: How long to wait after the first, second, ... attempt of a webhook
            that failed; after the last of them it is given up.
        development_webhooks: Call webhooks over http, at any port, and on this machine and in
            private networks. Whoever may ask for a student can then reach these.
        bundle_hosts: Hosts that bundles may be fetched from by URL, as JSON; none if empty.
        development_bundle_urls: Fetch bundles over http, at any port, and from this machine and
            private networks, too.
        max_upload_bytes: Bytes of a bundle that is registered, packed and unpacked, wherever it
            comes from.
        presence_seconds: Time between two signs of life of a worker.
        artifact_days: How long artifacts are kept after their extraction ended; 0 is for ever.
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
    idempotency_hours: Annotated[float, Field(gt=0)] = 24.0
    event_heartbeat_seconds: Annotated[float, Field(gt=0)] = 15.0
    event_stream_seconds: Annotated[float, Field(gt=0)] = 600.0
    requests_per_minute: Annotated[int, Field(ge=0)] = 600
    failed_logins_per_minute: Annotated[int, Field(ge=0)] = 30
    extractions_per_day: Annotated[int, Field(ge=0)] = 0
    webhook_secret: SecretStr = SecretStr("")
    webhook_retry_seconds: list[Annotated[float, Field(ge=0)]] = [5, 30, 120, 600, 3600, 21600]
    development_webhooks: bool = False
    bundle_hosts: list[str] = []
    development_bundle_urls: bool = False
    max_upload_bytes: Annotated[int, Field(ge=1)] = 2 << 30
    presence_seconds: Annotated[float, Field(gt=0)] = 10.0
    artifact_days: Annotated[float, Field(ge=0)] = 30.0

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
    def uploads_dir(self) -> Path:
        """Where bundles lie on their way into the catalogue."""
        return self.data_dir / "uploads"

    @property
    def artifacts_dir(self) -> Path:
        """Where artifacts are kept."""
        return self.data_dir / "artifacts"

    @property
    def webhook_secret_file(self) -> Path:
        """Holds the secret that signs webhooks, if no setting does."""
        return self.data_dir / "webhook-secret"
