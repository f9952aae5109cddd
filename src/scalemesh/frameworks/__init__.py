"""Pure detection: a listing and file contents → Plan. No process, file or socket is touched.

    plan = detect(["package.json", "package-lock.json", …], read, BuildSettings(root_directory="apps/web"))

The presets are data (`presets`, `presets_server`); precedence is Vercel's: the first match that no other supersedes.
Project settings beat vercel.json, which beats netlify.toml, which beats detection; `Plan.sources` says which it was.
A framework that needs a server is refused before anything is installed, with the lines to change.
Imports core and errors only.
"""

from scalemesh.frameworks.choose import FrameworkRefused
from scalemesh.frameworks.detect import detect, output_choices
from scalemesh.frameworks.netlify import contexts
from scalemesh.frameworks.presets import PRESETS

__all__ = ["PRESETS", "FrameworkRefused", "contexts", "detect", "output_choices"]
