"""The tables, made from the records, with their keys and indexes; what an older database lacks is in ``migrations``."""

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from beamhall.history.records import (
    AnyRecord,
    Artifact,
    ArtifactTask,
    Experiment,
    Pipeline,
    PipelineVersion,
    RecurringRun,
    Run,
    RunEvent,
    Specification,
    Task,
)

REVISIONS = ("0001",)
"""Every revision of these tables, oldest first; one module each in ``migrations.versions``."""

# Sorted by code points in both databases, whatever the locale of the server is.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_TYPES: Mapping[Any, TypeEngine[Any]] = {
    str: _TEXT,
    int: BigInteger(),
    bool: Boolean(),
    float: Double(),
    Mapping: JSON(),
    Sequence: JSON(),
}

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "%(table_name)s_by_%(column_0_N_name)s",
    }
)
version_table = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))


def _plain(annotation: Any) -> tuple[Any, bool]:
    """Give what a field's annotation comes to, and whether it may be absent."""
    origin = typing.get_origin(annotation)
    if origin is types.UnionType:
        (kind,) = (each for each in typing.get_args(annotation) if each is not types.NoneType)
        return kind, True
    if origin is typing.Annotated:
        return typing.get_args(annotation)[0], False
    return origin or annotation, False


def _column(record: type[AnyRecord], name: str, annotation: Any) -> Column[Any]:
    kind, may_be_null = _plain(annotation)
    if name == "id":
        key = BigInteger().with_variant(Integer, "sqlite") if kind is int else _TEXT
        return Column(name, key, primary_key=True, autoincrement=kind is int)
    if name == "run_id":  # what belongs to a run goes with it
        return Column(name, _TEXT, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False)
    if name == "pipeline_id" and record is PipelineVersion:
        return Column(name, _TEXT, ForeignKey("pipelines.id"), nullable=False)
    return Column(name, _TYPES[kind], nullable=may_be_null)


def _table(name: str, record: type[AnyRecord], *rules: Index | UniqueConstraint) -> Table:
    hints = typing.get_type_hints(record, include_extras=True)
    columns = [_column(record, field.name, hints[field.name]) for field in msgspec.structs.fields(record)]
    return Table(name, metadata, *columns, *rules)


def _by_time(name: str, *fields: str) -> Index:
    return Index(f"{name}_by_{'_'.join((*fields, 'created_at'))}", *fields, "created_at", "id")


TABLES: Mapping[type[AnyRecord], Table] = {
    Experiment: _table(
        "experiments", Experiment, UniqueConstraint("namespace", "display_name"), _by_time("experiments", "namespace")
    ),
    Pipeline: _table("pipelines", Pipeline, UniqueConstraint("namespace", "name"), _by_time("pipelines", "namespace")),
    Specification: _table("specifications", Specification),
    PipelineVersion: _table(
        "pipeline_versions",
        PipelineVersion,
        UniqueConstraint("pipeline_id", "name"),
        _by_time("pipeline_versions", "pipeline_id"),
        Index("pipeline_versions_by_spec", "spec_digest"),
    ),
    RecurringRun: _table(
        "recurring_runs",
        RecurringRun,
        _by_time("recurring_runs", "namespace"),
        Index("recurring_runs_by_experiment", "experiment_id"),
        Index("recurring_runs_by_status", "status", "next_at"),
        Index("recurring_runs_by_spec", "spec_digest"),
    ),
    Run: _table(
        "runs",
        Run,
        _by_time("runs"),
        _by_time("runs", "namespace"),
        _by_time("runs", "experiment_id"),
        Index("runs_by_state", "state", "created_at"),
        Index("runs_by_asked", "asked"),
        Index("runs_by_recurring_run", "recurring_run_id", "display_name"),
        Index("runs_by_spec", "spec_digest"),
    ),
    Task: _table(
        "tasks",
        Task,
        _by_time("tasks", "run_id"),
        _by_time("tasks", "parent_id"),
        Index("tasks_by_fingerprint", "namespace", "fingerprint", "finished_at"),
    ),
    Artifact: _table(
        "artifacts", Artifact, _by_time("artifacts", "namespace"), Index("artifacts_by_uri", "namespace", "uri")
    ),
    ArtifactTask: _table(
        "artifact_tasks",
        ArtifactTask,
        Index("artifact_tasks_by_artifact", "artifact_id"),
        Index("artifact_tasks_by_task", "task_id"),
        Index("artifact_tasks_by_run", "run_id"),
    ),
    RunEvent: _table("run_events", RunEvent, Index("run_events_by_run", "run_id", "id")),
}
"""The table of each kind of record."""

MOMENTS: Mapping[type[AnyRecord], frozenset[str]] = {
    record: frozenset(
        name
        for name, hint in typing.get_type_hints(record, include_extras=True).items()
        if typing.get_origin(hint) is typing.Annotated
    )
    for record in TABLES
}
"""Which fields of each kind are moments."""
