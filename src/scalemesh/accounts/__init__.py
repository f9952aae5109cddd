"""Users, teams, sessions, API tokens, and the one `authorize`.

Every service takes an Actor: one user (or the platform itself) in one team. Secrets are stored as hashes, passwords
with Argon2; a thing of another team is NotFound, whatever one may do in one's own. May import db, core and errors.
"""

from scalemesh.accounts.actor import Actor, authorize, system_actor
from scalemesh.accounts.passwords import Passwords
from scalemesh.accounts.service import Accounts

__all__ = ["Accounts", "Actor", "Passwords", "authorize", "system_actor"]
