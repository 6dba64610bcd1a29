from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from orchestrator.db.migrate import current_revision, downgrade, head_revision, upgrade
from orchestrator.db.tables import metadata

_CLASSIFIED = (
    ("pe", "application/vnd.microsoft.portable-executable"),
    ("text", "text/plain"),
    ("text", "text/x-c"),
    ("unknown", "application/octet-stream"),
)
_USER = text(
    "INSERT INTO api_user (id, name, role, customer_id)"
    " SELECT gen_random_uuid(), 'somebody', 'viewer', id FROM customer"
    " LIMIT 1 RETURNING id"
)
_SAMPLE = text(
    "INSERT INTO sample (sha256, sha512, sha1, md5, size_bytes, created_by)"
    " VALUES (:sha256, '', '', '', 0, :user)"
)
_KIND = text(
    "INSERT INTO classification (id, sample_sha256, version, type, super_type,"
    " platform, arch, mime_type) VALUES (CAST(right(:sha256, 32) AS uuid),"
    " :sha256, '2', :kind, '', 'any', 'any', :mime_type)"
)


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


def test_what_was_classified_before_is_the_rules_and_as_sure_as_now(empty_database_url):
    engine = create_engine(empty_database_url)
    upgrade(empty_database_url, "0006")
    with engine.begin() as connection:
        user = connection.execute(_USER).scalar_one()
        for number, (kind, mime_type) in enumerate(_CLASSIFIED):
            row = {"sha256": f"{number:064x}", "kind": kind, "mime_type": mime_type}
            connection.execute(_SAMPLE, {**row, "user": user})
            connection.execute(_KIND, row)

    upgrade(empty_database_url)

    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT type, decided_by, confidence FROM classification ORDER BY id")
        )
        assert [tuple(row) for row in found] == [
            ("pe", "rules", 1.0),
            ("text", "rules", 0.5),
            ("text", "rules", 1.0),
            ("unknown", "rules", 0.0),
        ]
    engine.dispose()
