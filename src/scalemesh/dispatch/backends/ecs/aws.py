"""AWS's clients, with keys and region from where AWS's tools look for them, and their errors as ours."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from scalemesh.errors import BadSettings, InfrastructureFault

CALLS_AT_ONCE = 16
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 6},  # throttling included, with jitter
    connect_timeout=5,
    read_timeout=20,
    max_pool_connections=CALLS_AT_ONCE,
)
# An operator's mistake: trying again mends nothing.
_REFUSED = frozenset(
    {
        "AccessDeniedException",
        "ClientException",
        "ClusterNotFoundException",
        "InvalidParameterException",
        "PlatformUnknownException",
        "PlatformTaskDefinitionIncompatibilityException",
        "UnrecognizedClientException",
        "UnsupportedFeatureException",
        "ValidationException",
    }
)


def client(service: str) -> Any:
    """Reads files and may ask the network for credentials: not for the event loop. Raises BadSettings."""
    try:
        return get_session().create_client(service, region_name=os.environ.get("AWS_REGION"), config=_CONFIG)
    except BotoCoreError as error:
        raise BadSettings(f"AWS: {error}", hint="Set AWS_REGION.", field="AWS_REGION") from error


async def call(threads: Executor, method: Callable[..., Any], **parameters: Any) -> Any:
    """One call of a client's method, off the event loop. Raises BadSettings, InfrastructureFault."""
    with answers(method.__name__):
        return await asyncio.get_running_loop().run_in_executor(threads, partial(method, **parameters))


@contextlib.contextmanager
def answers(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _REFUSED:
            text, hint = f"AWS refused {what}: {error}", "Compare roles and names with deploy/aws/README.md."
            raise BadSettings(text, code="aws_refused", hint=hint) from error
        raise InfrastructureFault(f"AWS did not {what}: {error}", code="aws_failed") from error
    except BotoCoreError as error:
        raise InfrastructureFault(f"AWS did not {what}: {error}", code="aws_unavailable") from error


def code_of(error: BaseException) -> str:
    """AWS's own word for an error that `answers` turned into ours; empty where it had none."""
    cause = error.__cause__
    return str(cause.response["Error"]["Code"]) if isinstance(cause, ClientError) else ""
