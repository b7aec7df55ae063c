"""How a link to the page looks where it is shared: Gradio's own title and picture are replaced."""

import html
import os
import re
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TITLE = "Which expression does a face show?"
DESCRIPTION = (
    "Drop a photo: each face gets its box and a probability for every expression. Photos, videos "
    "and live; nothing is kept."
)
PICTURE = Path(__file__).resolve().parent / "thumbnail.jpg"
OLD = re.compile(rb'\s*<meta\s+(?:property="og:|name="twitter:)[^>]*>')


def thumbnail() -> Route:
    return Route("/thumbnail.jpg", lambda request: FileResponse(PICTURE))


class Sharing:
    """ASGI middleware: the page's `og:` and `twitter:` tags."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        start, parts = {}, []

        async def changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = OLD.sub(b"", b"".join(parts)).replace(b"<head>", b"<head>" + tags(scope), 1)
            MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, changed)


def tags(scope: Scope) -> bytes:
    """Their addresses are those of the Space (SPACE_HOST), or the one that the visitor used."""
    host = os.environ.get("SPACE_HOST")
    base = f"https://{host}/" if host else str(Request(scope).base_url)
    contents = {
        "og:type": "website", "og:title": TITLE, "og:description": DESCRIPTION, "og:url": base,
        "og:image": f"{base}thumbnail.jpg", "og:image:width": "1200", "og:image:height": "630",
        "twitter:card": "summary_large_image",
    }  # fmt: skip
    lines = [
        f'<meta {"name" if name.startswith("twitter") else "property"}="{name}" '
        f'content="{html.escape(value, quote=True)}">'
        for name, value in contents.items()
    ] + [f'<meta name="description" content="{html.escape(DESCRIPTION, quote=True)}">']
    return "\n".join(["", *lines, ""]).encode()
