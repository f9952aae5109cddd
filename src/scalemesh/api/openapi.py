"""/openapi.json: FastAPI's own description, completed with the documents that bodies and answers are made of."""

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import Response

import scalemesh
from scalemesh.api import problems
from scalemesh.api.documents import Body, DocumentRoute

_REF = "#/components/schemas/{name}"
_PROBLEM = {"$ref": _REF.format(name="Problem")}


def install(app: FastAPI) -> None:
    """Made at the first request, then kept."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _describe(app: FastAPI) -> dict[str, Any]:
    routes = [route for route in app.routes if isinstance(route, DocumentRoute)]
    document = get_openapi(
        title="Scale Mesh", version=scalemesh.__version__, summary="Give it a Git repository, get a URL.", routes=routes
    )
    kinds = {problems.Problem, *(kind for route in routes for kind in (_body_of(route), _answer_of(route)) if kind)}
    ordered = sorted(kinds, key=str)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    document.setdefault("components", {})["schemas"] = components
    by_kind = dict(zip(ordered, schemas, strict=True))
    for route, operation in _operations(document, routes):
        _complete(operation, route, by_kind)
    return document


def _operations(document: dict[str, Any], routes: list[DocumentRoute]) -> Iterator[tuple[APIRoute, dict[str, Any]]]:
    for route in routes:
        for method in route.methods or ():
            yield route, document["paths"][route.path_format][method.lower()]


def _complete(operation: dict[str, Any], route: APIRoute, schemas: dict[Any, Any]) -> None:
    if kind := _body_of(route):
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[kind]}}}
    if kind := _answer_of(route):
        answer = operation["responses"][str(route.status_code or 200)]
        answer["content"] = {"application/json": {"schema": schemas[kind]}}
    operation["responses"].pop("422", None)  # FastAPI's own shape of errors, which we do not use
    operation["responses"]["default"] = {
        "description": "What went wrong",
        "content": {problems.MEDIA_TYPE: {"schema": _PROBLEM}},
    }


def _body_of(route: APIRoute) -> Any:
    calls = (dependency.call for dependency in route.dependant.dependencies)
    return next((call.kind for call in calls if isinstance(call, Body)), None)


def _answer_of(route: APIRoute) -> Any:
    kind = inspect.signature(route.endpoint).return_annotation
    is_document = kind is not None and not (inspect.isclass(kind) and issubclass(kind, Response))
    return kind if is_document else None
