"""The one port between a build server and the API: base, memory (tests), http."""
