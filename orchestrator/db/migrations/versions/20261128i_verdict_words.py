"""
a verdict without findings says so, weak traits are no certificate of harmlessness.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BEFORE = ("malicious", "suspicious", "benign", "unknown")
_WORDS = (
    *("malicious", "suspicious", "informational", "no_findings"),
    *("benign", "unknown"),
)


def upgrade() -> None:
    # A migration that waits for a lock makes everybody behind it wait too: give up.
    op.execute("SET LOCAL lock_timeout = '5s'")
    # All rows of a word in one statement: 15 s for each million of verdicts.
    op.execute("SET LOCAL statement_timeout = '10min'")
    _allow(_WORDS)
    # What an override decided stays as it is, and so does what overrides left open.
    op.execute(
        """
        UPDATE verdict SET status = 'informational'
         WHERE status = 'benign' AND status_override IS NULL
        """
    )
    op.execute(
        """
        UPDATE verdict SET status = 'no_findings'
         WHERE status = 'unknown' AND status_override IS NULL
           AND NOT is_contradicting AND score = -1
           AND EXISTS (SELECT FROM verdict_input AS input
                        WHERE input.verdict_id = verdict.id
                          AND input.analysis_id IS NOT NULL)
        """
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("UPDATE verdict SET status = 'benign' WHERE status = 'informational'")
    op.execute("UPDATE verdict SET status = 'unknown' WHERE status = 'no_findings'")
    _allow(_BEFORE)


def _allow(words: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{word}'" for word in words)
    op.execute("ALTER TABLE verdict DROP CONSTRAINT ck_verdict_status_is_known")
    op.execute(
        "ALTER TABLE verdict ADD CONSTRAINT ck_verdict_status_is_known"
        f" CHECK (status in ({listed}))"
    )
