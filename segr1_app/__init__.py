"""Seg-R1 as an annotation and demo app: an image and an instruction become a mask, by way of text."""

__version__ = "0.1.0"
