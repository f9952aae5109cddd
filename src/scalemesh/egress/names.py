"""Names and the synthetic addresses that stand for them inside one session."""

import ipaddress
import itertools

FIRST = int(ipaddress.IPv4Address("127.192.0.1"))
MAX_NAMES = 100_000  # well below the 4 million addresses of 127.192.0.0/10; a build that asks for more is refused


class Names:
    """Each name keeps its address as long as the session lives."""

    def __init__(self) -> None:
        self._next = itertools.count(FIRST)
        self._address: dict[str, bytes] = {}
        self._name: dict[str, str] = {}

    def address(self, name: str) -> bytes | None:
        """The address of a name that was added, as 4 bytes."""
        return self._address.get(name)

    def add(self, name: str) -> bytes | None:
        """The address of `name`, a new one if need be; None when the session has used up its names."""
        if known := self._address.get(name):
            return known
        if len(self._address) >= MAX_NAMES:
            return None
        address = ipaddress.IPv4Address(next(self._next))
        self._address[name], self._name[str(address)] = address.packed, name
        return address.packed

    def name(self, address: str) -> str:
        """What a connection to `address` was meant for: the name, or the address itself when it stands for none."""
        return self._name.get(address, address)
