from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from orchestrator.db.migrate import current_revision, downgrade, head_revision, upgrade
from orchestrator.db.tables import metadata


def test_the_migrations_build_what_the_tables_say(fresh_database_url):
    engine = create_engine(fresh_database_url)

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True}
        )
        differences = compare_metadata(context, metadata)

        assert differences == []
        assert current_revision(connection) == head_revision()
    engine.dispose()


def test_head_to_base_and_back_leaves_nothing_over(empty_database_url):
    engine = create_engine(empty_database_url)
    upgrade(empty_database_url)
    downgrade(empty_database_url)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]

    upgrade(empty_database_url)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM stream")).scalar() == 1
    engine.dispose()
