"""The build server's trusted half: the agent, which turns one attempt at one deployment into a manifest.

    clone ▸ detect ▸ install ▸ build ▸ upload        (steps/, each run by Build)

It claims the BuildSpec, has the repository's commands run by a sandbox session, numbers and redacts their output, and
uploads what they made. It never executes anything from the repository itself and reads the output only after the step
is dead, without following links. It meets the platform through one port (control/) and in documents; it imports no
service, no database and no settings. Every failure is one BuildErrored with a code and a sentence that teaches.
The agent ends by itself when its lease is refused or the API has been silent for several leases.
"""
