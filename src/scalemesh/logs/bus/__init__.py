"""Log buses, one file per technology, behind bus.base.Bus."""
