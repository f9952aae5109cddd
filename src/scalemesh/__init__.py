"""Scale Mesh: give it a Git repository, get a URL."""

__version__ = "0.1.0"
