"""API tokens: made, shown once, revoked."""

from fastapi import Response

from scalemesh.dashboard.forms import Values
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit
from scalemesh.errors import InvalidInput, ScaleMeshError


class TokenPages:
    def __init__(self, services: Services) -> None:
        self._accounts = services.accounts
        self._url = services.url

    async def all(self, visit: MemberVisit) -> Response:
        return await self._show(visit)

    async def create(self, visit: MemberVisit) -> Response:
        """Answers with the page itself, not with a redirect: the secret must not be kept anywhere to be shown later."""
        form = visit.form
        days = form.text("days")
        try:
            if not (days.isdecimal() or days == ""):
                raise InvalidInput("Days are a number.", field="days")
            _, secret = await self._accounts.create_token(
                visit.actor,
                form.text("name"),
                "read" if form["scope"] == "read" else "full",
                int(days) if days else None,
            )
        except InvalidInput as error:
            return await self._show(visit, error=error)
        return await self._show(visit, secret=secret)

    async def revoke(self, visit: MemberVisit) -> Response:
        await self._accounts.revoke_token(visit.actor, visit.part("token"))
        return visit.go("/tokens", "token-revoked")

    async def _show(
        self, visit: MemberVisit, *, secret: str | None = None, error: ScaleMeshError | None = None
    ) -> Response:
        tokens = await self._accounts.list_tokens(visit.actor)
        status = error.status if error else 201 if secret else 200
        values = visit.form.given() if error else Values(days="90")
        return visit.page(
            "tokens.html", status, tokens=tokens, secret=secret, url=self._url, error=error, values=values
        )
