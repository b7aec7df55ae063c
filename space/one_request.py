"""POST /faces: the photo is the request's body, its faces are the answer."""

import asyncio

from operations import note, observed
from serving import InputRefused, Served
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

PATH, UNREADABLE = "/faces", 415  # the status of a photo that is refused, which has its log line
SECONDS = 60  # for a photo to arrive, which holds its place


def route(served: Served, at_once: int) -> Route:
    """
    Args:
        at_once: photos in work; others wait.
    """
    places = asyncio.Semaphore(at_once)

    @observed("faces")
    def faces(content: bytes, options: dict) -> list[dict] | dict:
        try:
            (faces,) = served.faces([served.read(content, "The photo")], **options)
        except InputRefused as error:
            note(outcome="refused", reason=error.reason)
            return {"error": str(error)}
        note(photos=1, faces=len(faces))
        return faces

    async def answer(request: Request) -> JSONResponse:
        prior = request.query_params.get("prior", "train")
        if prior not in ("train", "uniform"):
            error = f"prior: expected train or uniform, but found {prior!r}."
            return JSONResponse({"error": error}, 400)
        options = {"prior": prior} if served.config.train_distribution else {}
        async with places:
            try:
                content = await asyncio.wait_for(request.body(), SECONDS)
            except asyncio.TimeoutError:
                return JSONResponse({"error": f"The photo took more than {SECONDS} s."}, 408)
            found = await run_in_threadpool(faces, content, options)
        return JSONResponse(found, UNREADABLE if "error" in found else 200)

    return Route(PATH, answer, methods=["POST"])
