"""Access records of the sites: their own stream over the same bus, with their own tables in the archive's engine.

A batch counts once by (spool, number), however often it comes. Totals are complete, records a sample; both end with
`retain`. Charts read `sums`; a drain would be one more reader of the bus.
"""
