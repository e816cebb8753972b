"""Overlays: a picture with its masks, boxes and points drawn on top, by supervision."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import supervision as sv

from segr1_app.domain import ObjectMask, ObjectPrompt, Point, RgbPixels
from segr1_app.studio.palette import CASING, OBJECT_COLOURS

MASK_OPACITY = 0.42


def draw_overlay(pixels: RgbPixels, objects: Sequence[ObjectPrompt], masks: Sequence[ObjectMask]) -> RgbPixels:
    """Draw masks (tinted and outlined), boxes and points; line widths grow with the picture.

    Positive points are discs in the object's colour with a plus, negative ones are dark discs with a minus: the sign
    tells them apart where the colour does not.

    Args:
        pixels: the picture, uint8 RGB (height, width, 3); it is not changed.
        objects: the mask prompts, in the picture's pixels.
        masks: bool (height, width) masks, one per object and in the same order, or none at all.

    Returns:
        A new picture of the same shape.

    Raises:
        ValueError: when there are masks but not one per object, or a mask of another size than the picture.
    """
    height, width = pixels.shape[:2]
    if masks and len(masks) != len(objects):
        raise ValueError(f"{len(masks)} masks were given for {len(objects)} objects")
    for found in masks:
        if found.mask.shape != (height, width):
            raise ValueError(f"a mask of shape {found.mask.shape} does not fit a picture of shape {(height, width)}")

    line = max(1, sv.calculate_optimal_line_thickness(resolution_wh=(width, height)))
    # supervision and OpenCV draw on BGR scenes.
    scene: RgbPixels = np.ascontiguousarray(pixels[..., ::-1])
    scene = _draw_masks(scene, masks, line)
    scene = _draw_boxes(scene, objects, line)
    for index, prompt in enumerate(objects):
        for point in prompt.points:
            _draw_point(scene, point, sv.ColorPalette.from_hex(list(OBJECT_COLOURS)).by_idx(index), line)
    return np.ascontiguousarray(scene[..., ::-1])


def _draw_masks(scene: RgbPixels, masks: Sequence[ObjectMask], line: int) -> RgbPixels:
    shown = [(index, found.mask) for index, found in enumerate(masks) if found.mask.any()]
    if not shown:
        return scene
    stack = np.stack([mask for _, mask in shown])
    detections = sv.Detections(
        xyxy=sv.mask_to_xyxy(stack).astype(np.float32),
        mask=stack,
        class_id=np.array([index for index, _ in shown]),
    )
    palette = sv.ColorPalette.from_hex(list(OBJECT_COLOURS))
    scene = sv.MaskAnnotator(color=palette, opacity=MASK_OPACITY).annotate(scene, detections)
    for index, mask in shown:
        # Contours rather than supervision's polygons: those leave out the outlines of holes.
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(scene, contours, -1, sv.Color.from_hex(CASING).as_bgr(), line + 2, cv2.LINE_AA)
        cv2.drawContours(scene, contours, -1, palette.by_idx(index).as_bgr(), line, cv2.LINE_AA)
    return scene


def _draw_boxes(scene: RgbPixels, objects: Sequence[ObjectPrompt], line: int) -> RgbPixels:
    boxed = [(index, prompt.box) for index, prompt in enumerate(objects) if prompt.box is not None]
    if not boxed:
        return scene
    detections = sv.Detections(
        xyxy=np.array([box.xyxy for _, box in boxed], dtype=np.float32),
        class_id=np.array([index for index, _ in boxed]),
    )
    for colour, thickness in (
        (sv.Color.from_hex(CASING), line + 2),
        (sv.ColorPalette.from_hex(list(OBJECT_COLOURS)), line),
    ):
        scene = sv.BoxAnnotator(color=colour, thickness=thickness).annotate(scene, detections)
    return scene


def _draw_point(scene: RgbPixels, point: Point, colour: sv.Color, line: int) -> None:
    centre = (round(point.x), round(point.y))
    radius, arm = 3 * line + 2, 2 * line
    white, dark = (255, 255, 255), sv.Color.from_hex(CASING).as_bgr()
    cv2.circle(scene, centre, radius + line, white if point.label else colour.as_bgr(), -1, cv2.LINE_AA)
    cv2.circle(scene, centre, radius, colour.as_bgr() if point.label else dark, -1, cv2.LINE_AA)
    cv2.line(scene, (centre[0] - arm, centre[1]), (centre[0] + arm, centre[1]), white, line, cv2.LINE_AA)
    if point.label:
        cv2.line(scene, (centre[0], centre[1] - arm), (centre[0], centre[1] + arm), white, line, cv2.LINE_AA)
