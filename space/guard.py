"""What of the server can be reached: Gradio's doors that this page does not need are shut."""

import shutil
from pathlib import Path

import one_request
from operations import refused
from serving import MAX_PHOTO_BYTES
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHUT = (  # they fetch addresses, or take and keep files
    "/file=http:",
    "/file=https:",
    "/proxy=",
    "/process_recording",
    "/component_server",
    "/deep_link",
    "/stream/",
    "/run-history",
    "/vibe-",
)
MAX_UPLOAD = 200 * 2**20  # bytes of one request that sends files
MAX_BODY = 2**20  # of any other
LEAST_FREE = 2**30  # bytes of the disk that uploads leave to others


class Guard:
    """
    ASGI middleware: 404 for what is shut, 413 for bodies that are too large, 503 for uploads while
    the disk of `uploads` is nearly full. These, and what Gradio refuses by a status, are logged.
    """

    def __init__(self, app: ASGIApp, uploads: Path):
        self.app, self.uploads = app, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        is_upload = scope["path"].rstrip("/").endswith("/upload")

        async def seen(message: Message) -> None:
            if message.get("status", 0) >= 400 and message["status"] != one_request.UNREADABLE:
                refused("upload" if is_upload else "other", f"http_{message['status']}")
            await send(message)

        await self._guarded(scope, receive, seen, is_upload)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, is_upload: bool) -> None:
        if any(door in scope["path"] for door in SHUT):
            return await PlainTextResponse("Not here.", 404)(scope, receive, send)
        if is_upload and shutil.disk_usage(self.uploads).free < LEAST_FREE:
            full = PlainTextResponse("No room just now. Come again in some minutes.", 503)
            return await full(scope, receive, send)
        limit = MAX_UPLOAD if is_upload else MAX_BODY
        if scope["path"] == one_request.PATH:
            limit = MAX_PHOTO_BYTES
        too_large = PlainTextResponse(f"More than {limit >> 20} MB.", 413)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > limit:
            return await too_large(scope, receive, send)
        got = 0

        async def counted() -> Message:  # a body in chunks announces nothing
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return message if got <= limit else {"type": "http.disconnect"}

        async def answered(message: Message) -> None:
            if got <= limit:
                await send(message)

        try:
            await self.app(scope, counted, answered)
        except ClientDisconnect:
            if got <= limit:
                raise
        if got > limit:
            await too_large(scope, receive, send)
