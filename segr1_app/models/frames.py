"""Pictures at the size at which a policy sees them."""

from __future__ import annotations

import cv2
import numpy as np

from segr1_app.domain import ImageSize, RgbPixels


def resize_to_frame(pixels: RgbPixels, policy_wh: ImageSize) -> RgbPixels:
    """``pixels`` at the size ``policy_wh``: area averaging when shrinking, cubic when enlarging."""
    height, width = pixels.shape[:2]
    shrinks = policy_wh.width * policy_wh.height < width * height
    resized = cv2.resize(pixels, policy_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(resized, dtype=np.uint8)
