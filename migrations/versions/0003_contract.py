"""Registrations, aliases, idempotency keys, webhooks, workers, audit

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON_OR_NULL = sa.JSON(none_as_null=True)


def _string(name: str, length: int, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length=length), nullable=nullable)


def upgrade() -> None:
    with op.batch_alter_table("api_keys") as table:
        table.add_column(sa.Column("requests_per_minute", sa.Integer(), nullable=True))
        table.add_column(sa.Column("extractions_per_day", sa.Integer(), nullable=True))
    with op.batch_alter_table("superlms") as table:
        table.add_column(_string("deprecated", 500, nullable=True))
    with op.batch_alter_table("extractions") as table:
        table.add_column(_string("fingerprint", 64, nullable=True))
        table.add_column(_string("leader_key", 64, nullable=True))
        table.add_column(sa.Column("webhook", JSON_OR_NULL, nullable=True))
        table.add_column(sa.Column("deleted_at", TIME, nullable=True))
        table.create_unique_constraint("uq_extractions_leader_key", ["leader_key"])
        table.create_index("ix_extractions_fingerprint_state", ["fingerprint", "state"])
    op.create_index("ix_artifacts_sha256", "artifacts", ["sha256"])
    op.create_table(
        "registrations",
        _string("id", 36),
        _string("state", 16),
        sa.Column("request", sa.JSON(), nullable=False),
        _string("api_key_id", 36, nullable=True),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _string("lease_owner", 200, nullable=True),
        sa.Column("lease_expires_at", TIME, nullable=True),
        sa.Column("sent_at", TIME, nullable=True),
        _string("superlm_id", 36, nullable=True),
        sa.Column("problem", JSON_OR_NULL, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'fetching', 'checking', 'verifying', 'evaluating', 'ready', 'failed')",
            name="ck_registrations_state",
        ),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name="fk_registrations_api_key_id_api_keys"
        ),
        sa.ForeignKeyConstraint(
            ["superlm_id"], ["superlms.id"], name="fk_registrations_superlm_id_superlms"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_registrations"),
    )
    op.create_table(
        "superlm_aliases",
        _string("name", 64),
        _string("alias", 64),
        _string("superlm_id", 36),
        sa.Column("changed_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["superlm_id"], ["superlms.id"], name="fk_superlm_aliases_superlm_id_superlms"
        ),
        sa.PrimaryKeyConstraint("name", "alias", name="pk_superlm_aliases"),
    )
    op.create_index("ix_superlm_aliases_superlm_id", "superlm_aliases", ["superlm_id"])
    op.create_table(
        "idempotency_keys",
        _string("api_key_id", 36),
        _string("key", 255),
        _string("request_sha256", 64),
        _string("extraction_id", 36, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name="fk_idempotency_keys_api_key_id_api_keys"
        ),
        sa.ForeignKeyConstraint(
            ["extraction_id"],
            ["extractions.id"],
            name="fk_idempotency_keys_extraction_id_extractions",
        ),
        sa.PrimaryKeyConstraint("api_key_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "webhook_deliveries",
        _string("id", 36),
        _string("extraction_id", 36),
        _string("state", 16),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", TIME, nullable=False),
        _string("answer", 200, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'delivered', 'given_up')", name="ck_webhook_deliveries_state"
        ),
        sa.ForeignKeyConstraint(
            ["extraction_id"],
            ["extractions.id"],
            name="fk_webhook_deliveries_extraction_id_extractions",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_extraction_id", "webhook_deliveries", ["extraction_id"])
    op.create_index(
        "ix_webhook_deliveries_state_next_attempt_at",
        "webhook_deliveries",
        ["state", "next_attempt_at"],
    )
    op.create_table(
        "workers",
        _string("name", 200),
        _string("device", 64, nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
    op.create_table(
        "audit",
        _string("id", 36),
        _string("api_key_id", 36, nullable=True),
        _string("action", 64),
        _string("subject", 200),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name="fk_audit_api_key_id_api_keys"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )


def downgrade() -> None:
    for name in (
        "audit",
        "workers",
        "webhook_deliveries",
        "idempotency_keys",
        "superlm_aliases",
        "registrations",
    ):
        op.drop_table(name)
    op.drop_index("ix_artifacts_sha256", "artifacts")
    with op.batch_alter_table("extractions") as table:
        table.drop_index("ix_extractions_fingerprint_state")
        table.drop_constraint("uq_extractions_leader_key", type_="unique")
        for column in ("fingerprint", "leader_key", "webhook", "deleted_at"):
            table.drop_column(column)
    with op.batch_alter_table("superlms") as table:
        table.drop_column("deprecated")
    with op.batch_alter_table("api_keys") as table:
        table.drop_column("extractions_per_day")
        table.drop_column("requests_per_minute")
