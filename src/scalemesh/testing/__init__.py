"""Shipped for tests, ours and others': factories, one contract suite per port, and real servers on loopback.

May import anything below `main`. Nothing here is imported by the platform itself.
"""
