"""Log archives, one file per technology, behind archive.base.Archive."""
