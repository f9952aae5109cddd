"""Composition roots, one file per process: settings → adapters → services → server."""
