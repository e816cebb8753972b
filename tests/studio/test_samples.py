"""The gallery: real photographs of installed packages, and what happens when some are missing."""

from __future__ import annotations

from PIL import Image

from segr1_app.studio.samples import KNOWN_SAMPLES, SamplePictureSpec, find_samples


def test_the_gallery_holds_photographs_that_open() -> None:
    samples = find_samples()
    assert len(samples) >= 4
    for sample in samples:
        with Image.open(sample.path) as image:
            assert min(image.size) >= 200, sample.title


def test_what_is_not_installed_is_left_out() -> None:
    missing = (
        SamplePictureSpec("No package", "a_package_that_nobody_has", "photo.jpg"),
        SamplePictureSpec("No file", "gradio", "media_assets/images/no-such-photo.jpg"),
    )
    assert find_samples(missing) == ()
    assert len(find_samples((*missing, KNOWN_SAMPLES[0]))) == 1
