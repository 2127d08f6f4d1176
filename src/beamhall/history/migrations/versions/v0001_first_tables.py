"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "artifacts",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("type", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("uri", _TEXT, nullable=False),
        sa.Column("number_value", sa.Double()),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_artifacts"),
    )
    op.create_index("artifacts_by_namespace_created_at", "artifacts", ["namespace", "created_at", "id"])
    op.create_index("artifacts_by_uri", "artifacts", ["namespace", "uri"])
    op.create_table(
        "experiments",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("storage_state", _TEXT, nullable=False),
        sa.Column("last_run_created_at", sa.BigInteger(), nullable=False),
        sa.Column("description", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
        sa.UniqueConstraint("namespace", "display_name", name="experiments_by_namespace_display_name"),
    )
    op.create_index("experiments_by_namespace_created_at", "experiments", ["namespace", "created_at", "id"])
    op.create_table(
        "pipelines",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pipelines"),
        sa.UniqueConstraint("namespace", "name", name="pipelines_by_namespace_name"),
    )
    op.create_index("pipelines_by_namespace_created_at", "pipelines", ["namespace", "created_at", "id"])
    op.create_table(
        "recurring_runs",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("experiment_id", _TEXT, nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("cron", _TEXT, nullable=False),
        sa.Column("time_zone", _TEXT, nullable=False),
        sa.Column("interval_s", sa.BigInteger(), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=False),
        sa.Column("end_at", sa.BigInteger(), nullable=False),
        sa.Column("no_catchup", sa.Boolean(), nullable=False),
        sa.Column("max_concurrency", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("pipeline_id", _TEXT, nullable=False),
        sa.Column("pipeline_version_id", _TEXT, nullable=False),
        sa.Column("spec_digest", _TEXT, nullable=False),
        sa.Column("service_account", _TEXT, nullable=False),
        sa.Column("pipeline_root", _TEXT, nullable=False),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("error", _TEXT, nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("plugins", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recurring_runs"),
    )
    op.create_index("recurring_runs_by_experiment", "recurring_runs", ["experiment_id"])
    op.create_index("recurring_runs_by_namespace_created_at", "recurring_runs", ["namespace", "created_at", "id"])
    op.create_index("recurring_runs_by_spec", "recurring_runs", ["spec_digest"])
    op.create_index("recurring_runs_by_status", "recurring_runs", ["status", "next_at"])
    op.create_table(
        "runs",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("experiment_id", _TEXT, nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("asked", _TEXT, nullable=False),
        sa.Column("storage_state", _TEXT, nullable=False),
        sa.Column("scheduled_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("recurring_run_id", _TEXT, nullable=False),
        sa.Column("pipeline_name", _TEXT, nullable=False),
        sa.Column("pipeline_id", _TEXT, nullable=False),
        sa.Column("pipeline_version_id", _TEXT, nullable=False),
        sa.Column("spec_digest", _TEXT, nullable=False),
        sa.Column("service_account", _TEXT, nullable=False),
        sa.Column("pipeline_root", _TEXT, nullable=False),
        sa.Column("error_code", sa.BigInteger(), nullable=False),
        sa.Column("error", _TEXT, nullable=False),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("tasks", sa.JSON(), nullable=False),
        sa.Column("state_history", sa.JSON(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("plugins", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("runs_by_asked", "runs", ["asked"])
    op.create_index("runs_by_created_at", "runs", ["created_at", "id"])
    op.create_index("runs_by_experiment_id_created_at", "runs", ["experiment_id", "created_at", "id"])
    op.create_index("runs_by_namespace_created_at", "runs", ["namespace", "created_at", "id"])
    op.create_index("runs_by_recurring_run", "runs", ["recurring_run_id", "display_name"])
    op.create_index("runs_by_spec", "runs", ["spec_digest"])
    op.create_index("runs_by_state", "runs", ["state", "created_at"])
    op.create_table(
        "specifications",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_specifications"),
    )
    op.create_table(
        "artifact_tasks",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("artifact_id", _TEXT, nullable=False),
        sa.Column("task_id", _TEXT, nullable=False),
        sa.Column(
            "run_id",
            _TEXT,
            sa.ForeignKey("runs.id", name="fk_artifact_tasks_run_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("type", _TEXT, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("producer_task", _TEXT, nullable=False),
        sa.Column("producer_key", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_artifact_tasks"),
    )
    op.create_index("artifact_tasks_by_artifact", "artifact_tasks", ["artifact_id"])
    op.create_index("artifact_tasks_by_run", "artifact_tasks", ["run_id"])
    op.create_index("artifact_tasks_by_task", "artifact_tasks", ["task_id"])
    op.create_table(
        "pipeline_versions",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column(
            "pipeline_id", _TEXT, sa.ForeignKey("pipelines.id", name="fk_pipeline_versions_pipeline_id"), nullable=False
        ),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("spec_digest", _TEXT, nullable=False),
        sa.Column("package_url", _TEXT, nullable=False),
        sa.Column("code_source_url", _TEXT, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("description", _TEXT, nullable=False),
        sa.Column("error", _TEXT, nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pipeline_versions"),
        sa.UniqueConstraint("pipeline_id", "name", name="pipeline_versions_by_pipeline_id_name"),
    )
    op.create_index(
        "pipeline_versions_by_pipeline_id_created_at", "pipeline_versions", ["pipeline_id", "created_at", "id"]
    )
    op.create_index("pipeline_versions_by_spec", "pipeline_versions", ["spec_digest"])
    op.create_table(
        "run_events",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column(
            "run_id", _TEXT, sa.ForeignKey("runs.id", name="fk_run_events_run_id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("id", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_run_events"),
    )
    op.create_index("run_events_by_run", "run_events", ["run_id", "id"])
    op.create_table(
        "tasks",
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column(
            "run_id", _TEXT, sa.ForeignKey("runs.id", name="fk_tasks_run_id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("type", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("parent_id", _TEXT, nullable=False),
        sa.Column("display_name", _TEXT, nullable=False),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("fingerprint", _TEXT, nullable=False),
        sa.Column("iteration", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.BigInteger(), nullable=False),
        sa.Column("error", _TEXT, nullable=False),
        sa.Column("pods", sa.JSON(), nullable=False),
        sa.Column("state_history", sa.JSON(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
    )
    op.create_index("tasks_by_fingerprint", "tasks", ["namespace", "fingerprint", "finished_at"])
    op.create_index("tasks_by_parent_id_created_at", "tasks", ["parent_id", "created_at", "id"])
    op.create_index("tasks_by_run_id_created_at", "tasks", ["run_id", "created_at", "id"])
