"""Everything that an installation keeps, in one file, and back.

`archive` is the file (plain or sealed with a passphrase), `programs` finds and runs PostgreSQL's
own pg_dump and pg_restore, `contents` says what goes in, `making` and `restoring` do the two
things. A database without its peppers and credential keys is of no use, so they go together.
"""

from gateway.backup.archive import BackupError
from gateway.backup.making import make_backup
from gateway.backup.restoring import restore_backup

__all__ = ["BackupError", "make_backup", "restore_backup"]
