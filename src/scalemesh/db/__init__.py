"""The database: tables, the engine with its sessions, migrations, and the wakeup port.

SQLite and PostgreSQL alike: integer milliseconds UTC, enums as VARCHAR + CHECK, no array or JSONB operators; documents
are stored as JSON text. Only services import it. The database is the queue, too.
"""

from scalemesh.db.database import Database
from scalemesh.db.wakeup import Wakeup, open_wakeup

__all__ = ["Database", "Wakeup", "open_wakeup"]
