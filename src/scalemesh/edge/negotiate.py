"""Accept-Encoding (RFC 9110 §12.5.3) as an order of preference."""

ENCODINGS = ("br", "zstd", "gzip")
IDENTITY = "identity"
_ALIASES = {"x-gzip": "gzip"}


Preference = tuple[tuple[str, ...], ...]
"""Codings by falling weight; within one group the client does not care."""


def preference(accept: bytes | None) -> Preference:
    """What the client takes, best first; identity last unless it has a weight of its own. Nonsense counts as absent."""
    if accept is None:
        return ((IDENTITY,),)
    weights = _weights(accept.decode("latin-1").lower())
    star = weights.pop("*", None)
    if star is not None:
        weights = dict.fromkeys(ENCODINGS, star) | weights
    identity = weights.pop(IDENTITY, star)
    known = {coding: weight for coding, weight in weights.items() if coding in ENCODINGS and weight > 0}
    if identity is None:
        identity = min(known.values(), default=1.0) / 2
    if identity > 0 or not known:
        known[IDENTITY] = identity
    levels = sorted(set(known.values()), reverse=True)
    return tuple(tuple(sorted(c for c, weight in known.items() if weight == level)) for level in levels)


def _weights(accept: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in accept.split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                weight = _weight(value.strip())
        if coding:
            weights[_ALIASES.get(coding, coding)] = weight
    return weights


def _weight(value: str) -> float:
    """0 to 1 with at most three decimals; anything else is 0."""
    whole, _, decimals = value.partition(".")
    if whole not in {"0", "1"} or len(decimals) > 3 or not (decimals or "0").isdecimal() or not value.isascii():
        return 0.0
    return min(float(value), 1.0)
