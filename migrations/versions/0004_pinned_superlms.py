"""The SuperLMs that extractions choose from

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ENDED = ("succeeded", "failed", "canceled")


def upgrade() -> None:
    with op.batch_alter_table("extractions") as table:
        table.add_column(sa.Column("superlm_ids", sa.JSON(), nullable=False, server_default="[]"))
    _pin_those_under_way()
    with op.batch_alter_table("extractions") as table:
        table.alter_column("superlm_ids", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("extractions") as table:
        table.drop_column("superlm_ids")


def _pin_those_under_way() -> None:
    """Extractions that have not ended choose from what their request means now."""
    extractions = sa.table(
        "extractions",
        *(sa.column("id"), sa.column("state"), sa.column("request", sa.JSON())),
        sa.column("superlm_ids", sa.JSON()),
    )
    superlms = sa.table(
        "superlms",
        *(sa.column("id"), sa.column("name"), sa.column("version"), sa.column("deprecated")),
        sa.column("spec", sa.JSON()),
    )
    aliases = sa.table(
        "superlm_aliases", sa.column("name"), sa.column("alias"), sa.column("superlm_id")
    )
    connection = op.get_bind()
    named: dict[str, str] = {}
    newest: dict[str, str] = {}
    teachers: dict[str, str] = {}
    query = sa.select(superlms)
    for row in connection.execute(query.order_by(superlms.c.version)):
        named[f"{row.name}@{row.version}"] = row.id
        if row.deprecated is None:
            newest[row.name] = row.id
            teachers[row.name] = row.spec["teacher"]["name"]
    named |= {
        f"{row.name}@{row.alias}": row.superlm_id for row in connection.execute(sa.select(aliases))
    }
    named |= newest | {f"{name}@latest": id_ for name, id_ in newest.items()}
    query = sa.select(extractions.c.id, extractions.c.request)
    for job in connection.execute(query.where(extractions.c.state.not_in(ENDED))).all():
        asked, teacher = job.request.get("superlm"), job.request.get("teacher")
        found = [named[asked]] if asked in named else []
        if asked is None:
            found = [id_ for name, id_ in newest.items() if teachers[name] == teacher]
        update = sa.update(extractions).where(extractions.c.id == job.id)
        connection.execute(update.values(superlm_ids=found))
