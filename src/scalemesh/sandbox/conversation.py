"""What a runner says to the program that executes its steps, and hears from it: egress.channel's messages."""

import asyncio
import socket
from collections.abc import Sequence

from scalemesh.egress import channel
from scalemesh.errors import InfrastructureFault


class Conversation:
    """One end of a SOCK_SEQPACKET socket, which it owns until `close`. The other end's death is one more message."""

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._events: asyncio.Queue[channel.Message] = asyncio.Queue()
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control, self._heard)

    def say(self, message: channel.Message, fds: Sequence[int] = ()) -> None:
        """Raises OSError when nobody is there, or nobody listens."""
        if self._control is None:
            raise ConnectionResetError("closed")
        channel.send(self._control, message, fds)

    async def hear(self, timeout_s: float | None) -> channel.Message:
        """The next message; `{"event": "died"}` at the end. Raises InfrastructureFault in the case of silence."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._events.get()
        except TimeoutError as error:
            raise InfrastructureFault("The sandbox does not answer.", code="no_sandbox") from error

    def close(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None

    def _heard(self) -> None:
        control = self._control
        if control is None:
            return
        try:
            received = channel.receive(control)
        except BlockingIOError:
            return
        except ConnectionResetError:
            received = None
        if received is None:
            asyncio.get_running_loop().remove_reader(control)
        self._events.put_nowait(received[0] if received else {"event": "died"})


def exit_code(event: channel.Message) -> int:
    """Of the message that ends a step. Raises InfrastructureFault when it says that there was none."""
    if event["event"] != "exited":
        raise InfrastructureFault("The sandbox's own process died.", code="sandbox_died")
    if not event["ran"]:
        detail = event.get("detail", "its output says why")
        raise InfrastructureFault(f"The step could not be started: {detail}.", code="step_not_started")
    code = int(event["code"])
    return code if code >= 0 else 128 - code
