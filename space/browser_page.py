"""The tab Live: the page of browser/, whose networks run in the visitor's browser, in a frame."""

from pathlib import Path

import gradio as gr
from assemble import NotAssembled, page_files
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

FRAME = (
    '<iframe class="live" src="browser/index.html" title="A photo or your camera, looked at in '
    'this browser" loading="lazy" allow="camera"></iframe>'
)


OFF = "Not here: this server lacks a file that the page needs. Its log says which."


def files_in_browser(model: Path) -> dict[str, Path | bytes]:
    """The page's files for a model's folder, by path; none if one lacks, which the log says."""
    try:
        return page_files(model)
    except NotAssembled as error:
        print(f"The tab Live is off. {error}", flush=True)
        return {}


def route(files: dict[str, Path | bytes]) -> Route:
    """GET /browser/PATH"""

    def answer(request: Request) -> Response:
        content = files.get(request.path_params["path"])
        if content is None:
            return PlainTextResponse("Not here.", 404)
        if isinstance(content, bytes):
            return Response(content, media_type="application/json")
        return FileResponse(content)

    return Route("/browser/{path:path}", answer)


def live_tab(served: bool) -> None:
    """Fills the tab that is open. served: whether the page's files are."""
    gr.HTML(FRAME) if served else gr.Markdown(OFF)
