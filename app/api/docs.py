"""``/docs``: the API to read and to try, with everything that it needs from this server.

The pages that FastAPI brings take scripts from a content delivery network: that is somebody else's
code on the origin that the visitors' cookies belong to, and it is not there without the internet.
"""

import base64
import hashlib

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

ASSETS = "/docs/assets"

_START = """
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null,
  defaultModelsExpandDepth: -1, defaultModelRendering: "example", docExpansion: "list",
});
"""
_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ChatKit backend: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{ASSETS[1:]}/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="{ASSETS[1:]}/swagger-ui-bundle.js"></script>
<script>{_START}</script>
</body>
</html>
"""

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self' 'sha256-{_HASH}'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Return the page that shows ``/openapi.json``."""
    return HTMLResponse(PAGE, headers=HEADERS)


def mount_docs(app: FastAPI) -> None:
    """Serve the API's documentation at ``/docs``; its files come with a package."""
    app.include_router(router)
    assets = StaticFiles(packages=[("fastapi_offline", "static")])
    app.mount(ASSETS, assets, name="docs_assets")
