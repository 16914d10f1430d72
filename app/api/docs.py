"""The interactive documentation and the OpenAPI document; everything is served from here, nothing from outside."""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import pydantic_core
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from app.api.deps import Keyless, OpenDoor, Requires
from app.api.problems import Problem
from app.api.route import Mark, StrictRoute, mark_of
from app.models.errors import NotFound
from app.models.events import CATALOGUE, Event

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_REF = "#/components/schemas/{model}"

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@cache
def _asset(name: str) -> bytes:
    """A file of the documentation page; the package that ships them is only read, never imported."""
    found = importlib.util.find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise NotFound("The documentation page is not installed; /openapi.json has all of it.")
    return (Path(found.origin).parent / "static" / name).read_bytes()


@router.get("/docs")
async def docs_page(request: Request, _open: OpenDoor) -> Response:
    """The interactive documentation."""
    root = str(request.scope.get("root_path", ""))
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Sixlane",
        swagger_js_url=f"{root}/docs/assets/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/docs/assets/swagger-ui.css",
        swagger_favicon_url=f"{root}/docs/assets/favicon.png",
    )


@router.get("/docs/assets/{name}")
async def docs_asset(name: str, _open: OpenDoor) -> Response:
    """One of the page's own files."""
    if name not in ASSETS:
        raise NotFound("There is no such file.")
    return Response(_asset(name), media_type=ASSETS[name], headers={"Cache-Control": "max-age=86400"})


@router.get("/openapi.json")
async def openapi_document(request: Request, _open: OpenDoor) -> Response:
    """The OpenAPI document."""
    return Response(pydantic_core.to_json(request.app.openapi()), media_type="application/json")


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Let the application's OpenAPI document name its problems, its events and its keys."""

    def document() -> dict[str, Any]:
        return _document(app, routes)

    app.openapi = document


def _document(app: FastAPI, routes: Sequence[APIRoute]) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        _complete(app.openapi_schema, routes)
    return app.openapi_schema


def _complete(document: dict[str, Any], routes: Sequence[APIRoute]) -> None:
    components = document.setdefault("components", {})
    schemas = cast("dict[str, Any]", components.setdefault("schemas", {}))
    models: list[Any] = [(model, "serialization") for model in (Problem, *CATALOGUE)]
    _, found = models_json_schema(models, ref_template=_REF)
    schemas.update(found["$defs"])
    schemas["Event"] = TypeAdapter[Any](Event).json_schema(ref_template=_REF, mode="serialization")
    schemas["Event"].pop("$defs", None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    }
    _put_back_examples(document, routes)
    marks = {(method, route.path): mark_of(route.dependant) for route in routes for method in route.methods or ()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _secure(operation, marks.get((method.upper(), path)))


def _put_back_examples(document: dict[str, Any], routes: Sequence[APIRoute]) -> None:
    """Examples as the routes give them: FastAPI drops every null from the document, also from these."""
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"].get(route.path, {}).get(method.lower(), {})
            for code, answer in route.responses.items():
                for kind, content in answer.get("content", {}).items():
                    if "example" in content:
                        operation["responses"][str(code)]["content"][kind]["example"] = content["example"]


def _secure(operation: dict[str, Any], mark: Mark | None) -> None:
    if isinstance(mark, Keyless):
        operation["security"] = [{}]
        return
    operation["security"] = [{"bearer": []}, {"apiKey": []}]
    if isinstance(mark, Requires):
        operation["x-required-scope"] = mark.scope
        operation["description"] = f"{operation.get('description', '')}\n\nScope: `{mark.scope}`."
