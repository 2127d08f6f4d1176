"""What Alembic runs: the migrations, on the connection and in the transaction that ``database.migrate`` hands in."""

from alembic import context

from beamhall.history.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter tables: they are made anew
)
context.run_migrations()
