"""Build tokens as SecureStrings of SSM's Parameter Store: one per attempt, from before its task until after it."""

from concurrent.futures import Executor
from typing import Any

from scalemesh.core.build import AgentOptions
from scalemesh.dispatch.backends.ecs import aws
from scalemesh.errors import InfrastructureFault

SCHEME = "ssm:"


class Tokens:
    """`path`: everything below it is this installation's."""

    def __init__(self, client: Any, threads: Executor, path: str) -> None:
        self._client = client
        self._threads = threads
        self._path = path.rstrip("/")

    async def put(self, attempt: str, token: str) -> str:
        """Answers what AgentOptions refer to it by; fine when it is there."""
        name = f"{self._path}/{attempt}"
        try:
            await self._call(self._client.put_parameter, Name=name, Value=token, Type="SecureString")
        except InfrastructureFault as error:
            if aws.code_of(error) != "ParameterAlreadyExists":
                raise
        return SCHEME + name

    async def delete(self, attempt: str) -> None:
        """Fine when there is none."""
        await self._call(self._client.delete_parameters, Names=[f"{self._path}/{attempt}"])

    async def attempts(self) -> set[str]:
        """Names alone are asked for, never the values."""
        filters = [{"Key": "Path", "Option": "OneLevel", "Values": [self._path]}]
        found: set[str] = set()
        more: dict[str, str] = {}
        while True:
            page = await self._call(self._client.describe_parameters, ParameterFilters=filters, MaxResults=50, **more)
            found |= {each["Name"].rpartition("/")[2] for each in page["Parameters"]}
            if not page.get("NextToken"):
                return found
            more = {"NextToken": page["NextToken"]}

    async def _call(self, method: Any, **parameters: Any) -> Any:
        return await aws.call(self._threads, method, **parameters)


def read(options: AgentOptions) -> str:
    """The agent's side, by its task's role. Raises InfrastructureFault, BadSettings."""
    with aws.answers("read the build's token"):
        name = options.token.removeprefix(SCHEME)
        answer = aws.client("ssm").get_parameter(Name=name, WithDecryption=True)
    return str(answer["Parameter"]["Value"])
