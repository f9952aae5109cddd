"""The ignored build step: the project's own command says whether a commit is to be built, as at Vercel and Netlify.

https://vercel.com/docs/project-configuration/project-settings#ignored-build-step: it ends with 0 where no build is
wanted; with anything else, a failure of its own included, the build goes on.
"""

from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.steps.clone import Clone
from scalemesh.buildserver.steps.commands import Commands


async def is_ignored(command: str, clone: Clone, commands: Commands, shipper: Shipper) -> bool:
    """Runs `command` in the project's root directory, with history to compare with. Raises BuildFailed at a limit."""
    await clone.deepen()
    exit_code = await commands.ask("detect", command, clone.netlify_variables())
    if exit_code:
        await shipper.line(f"The ignore command ended with {exit_code}: the build goes on.", step="detect")
    return exit_code == 0
