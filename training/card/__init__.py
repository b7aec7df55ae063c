"""The card room: what is said of a run, made from its record: typed data, a template, pictures."""

from .card import write_card
from .describe import describe
