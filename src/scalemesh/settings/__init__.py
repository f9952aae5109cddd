"""The operator's settings: one frozen tree, read from the environment once, by the composition roots.

Every field's environment name is `SCALEMESH_` + its metadata `env`; docs/configuration.md lists them all and a test
holds the two together. Secrets are masked in repr; a wrong value raises BadSettings and names the variable.
"""

from scalemesh.settings.load import load
from scalemesh.settings.model import BuildSettings, EdgeSettings, Settings

__all__ = ["BuildSettings", "EdgeSettings", "Settings", "load"]
