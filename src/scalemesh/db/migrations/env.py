"""What Alembic executes for every command: our connection, our metadata, our transaction."""

from alembic import context

from scalemesh.db.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
