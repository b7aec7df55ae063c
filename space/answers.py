"""What the endpoints answer: JSON whose schema is in the API's documentation."""

import gradio as gr

NUMBER = {"type": "number"}
FACES = {
    "type": "array",
    "description": "faces from left to right",
    "items": {
        "type": "object",
        "properties": {
            "box": {
                "type": "object",
                "description": "pixels of the upright photo",
                "properties": {
                    edge: {"type": "integer"} for edge in ("xmin", "ymin", "xmax", "ymax")
                },
            },
            "face_score": NUMBER | {"description": "of the detector"},
            "label": {"type": "string"},
            "score": NUMBER | {"description": "probability of the label"},
            "scores": {
                "type": "object",
                "description": "probability of each class",
                "additionalProperties": NUMBER,
            },
            "uncertain": {"type": "boolean", "description": "the score is below the threshold"},
        },
    },
}


def answer(schema: dict, label: str) -> gr.JSON:
    """An output whose schema is in the API's documentation; Gradio's own says "any JSON"."""
    output = gr.JSON(label=label)
    output.api_info = lambda: schema
    return output
