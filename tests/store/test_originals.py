"""Pictures are kept in their original files if these show exactly the annotated pixels."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from segr1_app.domain import StoreDamagedError
from segr1_app.images.jpeg_metadata import strip_jpeg
from segr1_app.images.pictures import Original, load_oriented, load_picture, picture_from_array
from segr1_app.store import AnnotationStore
from segr1_app.store.connection import connect
from segr1_app.store.exchange.formats import FORMATS
from segr1_app.store.exchange.importing import import_paths
from segr1_app.store.exchange.options import ExportedPictures, Options
from segr1_app.store.exchange.outcomes import IMPORTED
from segr1_app.sync import FolderRemote, Synchroniser
from tests.store.values import HEIGHT, WIDTH, corrected


def photograph(seed: int = 0) -> Image.Image:
    """Soft colours, which JPEG makes small."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    channels = [np.sin(x / (3 + seed)) + np.cos(y / (4 + channel)) for channel in range(3)]
    return Image.fromarray((np.stack(channels, axis=-1) * 60 + 127).astype(np.uint8))


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def add(store: AnnotationStore, content: bytes, name: str = "a.jpg") -> str:
    seen = load_oriented(content)
    sha256 = store.add_picture(seen.picture, name, seen.original)
    task = store.add_task(sha256, "the cat")
    if task.open:
        mask = np.zeros(seen.picture.pixels.shape[:2], dtype=bool)
        mask[2:20, 2:20] = True
        store.save(task.id, "Ada", corrected(mask))
    return sha256


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


PLAIN = {
    "photo.jpg": encoded(photograph()),
    "progressive.jpg": encoded(photograph(), progressive=True, exif=turned(1)),
    "lossy.webp": encoded(photograph(), "WEBP", quality=70),
    "drawing.png": encoded(photograph(), "PNG"),
    "two views.jpg": encoded(photograph(), "MPO", save_all=True, append_images=[photograph(1)]),
}
"""Files that any program shows as they are annotated."""
KEPT = PLAIN | {
    "grey.jpg": encoded(photograph().convert("L")),
    "print.jpg": encoded(photograph().convert("CMYK")),
    "palette.png": encoded(photograph().quantize(), "PNG"),
    "two colours.png": encoded(photograph().convert("1"), "PNG"),
    "film.avif": encoded(photograph(), "AVIF"),
}
CONVERTED = {
    "see-through.png": encoded(photograph().convert("RGBA"), "PNG"),
    "see-through palette.png": encoded(photograph().quantize(), "PNG", transparency=3),
    "moving.png": encoded(photograph(), "PNG", save_all=True, append_images=[photograph(1)]),
    "moving.webp": encoded(photograph(), "WEBP", save_all=True, append_images=[photograph(1)]),
    "turned.png": encoded(photograph(), "PNG", exif=turned(6)),
    "turned.avif": encoded(photograph(), "AVIF", exif=turned(6)),
    "scan.tif": encoded(photograph(), "TIFF"),
    "and a whole archive behind it.jpg": encoded(photograph()) + bytes(100_000),
}
TURNED = {f"turned {value}.jpg": encoded(photograph(), exif=turned(value)) for value in range(2, 9)} | {
    "turned and grey.jpg": encoded(photograph().convert("L"), exif=turned(8)),
    "turned and progressive.jpg": encoded(photograph(), exif=turned(5), progressive=True, restart_marker_blocks=2),
    **{f"turned {value}.webp": encoded(photograph(), "WEBP", exif=turned(value), quality=70) for value in (2, 5, 6)},
    "turned and lossless.webp": encoded(photograph(), "WEBP", exif=turned(8), lossless=True),
    "two turned views.jpg": encoded(
        photograph(), "MPO", save_all=True, append_images=[photograph(1)], exif=turned(3), comment=b"SECRET"
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_picture_is_kept_as_it_came(store: AnnotationStore, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(KEPT[name])
    assert list(import_paths(store, [tmp_path / name], "it")) == [IMPORTED]
    (task,) = store.tasks()
    path = store.picture_path(task.sha256)
    assert (path.read_bytes(), path.suffix) == (KEPT[name], Path(name).suffix)
    # The digest is that of the pixels, as it always was.
    assert task.sha256 == load_picture(tmp_path / name).sha256
    assert np.array_equal(store.picture(task.sha256).pixels, load_picture(tmp_path / name).pixels)
    assert list(store.verify()) == []


@pytest.mark.parametrize("name", CONVERTED)
def test_one_that_is_not_an_opaque_still_becomes_a_png(store: AnnotationStore, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CONVERTED[name])
    assert list(import_paths(store, [tmp_path / name], "it")) == [IMPORTED]
    (task,) = store.tasks()
    path = store.picture_path(task.sha256)
    assert path.name == f"{task.sha256}.png"
    assert np.array_equal(np.asarray(Image.open(path)), load_picture(tmp_path / name).pixels)


def _with_secrets(orientation: int, mode: str = "RGB", form: str = "JPEG") -> bytes:
    """A file that says where it was taken, in every way that Pillow can write, and once more behind its end."""
    exif = turned(orientation)
    exif[ExifTags.Base.Make] = "SECRET"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSMapDatum] = "SECRET"
    more = {"xmp": b"<x:xmpmeta>SECRET</x:xmpmeta>", "comment": b"SECRET"}
    return encoded(photograph().convert(mode), form, exif=exif, icc_profile=b"a profile" * 100, **more) + b"SECRET"


@pytest.mark.parametrize("name", [*TURNED, "secrets", "grey secrets", "webp secrets"])
def test_a_rotated_photograph_is_kept_with_its_orientation_as_the_only_metadata(
    store: AnnotationStore, tmp_path: Path, name: str
) -> None:
    form = "WEBP" if "webp" in name else "JPEG"
    came = TURNED.get(name) or _with_secrets(7, "L" if "grey" in name else "RGB", form)
    (tmp_path / "a.jpg").write_bytes(came)
    assert list(import_paths(store, [tmp_path / "a.jpg"], "it")) == [IMPORTED]
    (task,) = store.tasks()
    path = store.picture_path(task.sha256)
    assert path.suffix == (".webp" if "webp" in name else ".jpg")
    assert b"SECRET" not in path.read_bytes()
    with Image.open(path) as kept, Image.open(io.BytesIO(came)) as before:
        assert list(kept.getexif()) == [ExifTags.Base.Orientation]
        assert kept.info.get("icc_profile") == before.info.get("icc_profile")
        # The compressed pixels are the same: nothing was decoded and encoded again.
        assert np.array_equal(np.asarray(kept), np.asarray(before))
    assert np.array_equal(store.picture(task.sha256).pixels, load_picture(tmp_path / "a.jpg").pixels)
    assert list(store.verify()) == []


@pytest.mark.parametrize("name", [*TURNED, *(KEPT.keys() - PLAIN.keys())])
@pytest.mark.parametrize("pictures", [None, ExportedPictures.ORIGINAL])
def test_a_file_that_some_programs_would_show_otherwise_goes_out_as_upright_rgb(
    store: AnnotationStore, tmp_path: Path, name: str, pictures: ExportedPictures | None
) -> None:
    sha256 = add(store, TURNED.get(name) or KEPT[name], name)
    FORMATS["coco"](store, tmp_path / "out", Options(pictures=pictures))
    (path,) = (tmp_path / "out" / "images" / "train").iterdir()
    with Image.open(path) as image:
        assert (path.suffix, image.format, image.mode, dict(image.getexif())) == (".png", "PNG", "RGB", {})
        assert np.array_equal(np.asarray(image), store.picture(sha256).pixels)


@pytest.mark.parametrize("cut", range(2, 700, 9))
def test_no_metadata_survive_in_a_damaged_jpeg(cut: int) -> None:
    whole = _with_secrets(6)
    broken = whole[:cut] + whole[cut + 9 :]
    kept = strip_jpeg(broken, 6)
    assert kept is None or b"SECRET" not in kept
    assert strip_jpeg(whole[:cut], 6) is None
    cleaned = strip_jpeg(whole, 6)
    assert cleaned is not None
    assert strip_jpeg(cleaned, 6) == cleaned


def test_the_same_pixels_keep_the_file_that_is_there(store: AnnotationStore) -> None:
    came = encoded(photograph())
    sha256 = add(store, came)
    again = encoded(Image.open(io.BytesIO(came)), "PNG")
    assert add(store, again, "again.png") == sha256
    assert [path.read_bytes() for path in store.picture_path(sha256).parent.iterdir()] == [came]
    # A file that was lost comes back with the picture, in whatever form.
    store.picture_path(sha256).unlink()
    assert [str(sha256)[:12] in problem for problem in store.verify()] == [True]
    assert add(store, again) == sha256
    assert store.picture_path(sha256).read_bytes() == again
    assert list(store.verify()) == []


def test_a_changed_byte_is_noticed(store: AnnotationStore) -> None:
    sha256 = add(store, encoded(photograph()))
    path = store.picture_path(sha256)
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="not the one that was stored"):
        store.picture(sha256)
    assert len(list(store.verify())) == 1


def test_another_decoder_damages_nothing(store: AnnotationStore) -> None:
    """A later version of a decoder may round differently: an original stored earlier is still valid."""
    content = encoded(photograph())
    now = load_picture(content)
    before = picture_from_array(np.where(now.pixels < 255, now.pixels + 1, now.pixels).astype(np.uint8))
    sha256 = store.add_picture(before, "a.jpg", Original(content, ".jpg"))
    assert store.picture(sha256).sha256 == sha256
    assert np.array_equal(store.picture(sha256).pixels, now.pixels)
    (reported,) = store.verify()
    assert "is decoded to other pixels" in reported


def test_copies_hold_the_same_files(store: AnnotationStore, tmp_path: Path) -> None:
    added = {add(store, content, name) for name, content in (KEPT | CONVERTED | TURNED).items()}
    kept = {sha256: store.picture_path(sha256).read_bytes() for sha256 in added}
    assert store.backup(tmp_path / "backup") == []
    FORMATS["jsonl"](store, tmp_path / "all")
    remote = FolderRemote(tmp_path / "remote")
    assert Synchroniser(store, remote, tmp_path).sync() == []
    with AnnotationStore.open(tmp_path / "merged") as merged, AnnotationStore.open(tmp_path / "synced") as synced:
        assert not [reported.message for reported in import_paths(merged, [tmp_path / "all"], "it") if reported.message]
        assert Synchroniser(synced, remote, tmp_path).sync() == []
        with AnnotationStore.open(tmp_path / "backup") as backup:
            for copy in (backup, merged, synced):
                assert {sha256: copy.picture_path(sha256).read_bytes() for sha256 in added} == kept
                assert list(copy.verify()) == []
    # Nothing is sent or brought twice.
    assert Synchroniser(store, remote, tmp_path).sync() == []


def _other_picture(path: Path) -> None:
    path.write_bytes(encoded(photograph(3)))


def _no_picture(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04")


@pytest.mark.parametrize("change", [_other_picture, _no_picture])
def test_a_file_that_was_exchanged_is_not_taken(
    store: AnnotationStore, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    sha256 = add(store, encoded(photograph()))
    FORMATS["jsonl"](store, tmp_path / "all")
    remote = FolderRemote(tmp_path / "remote")
    Synchroniser(store, remote, tmp_path).sync()
    for path in (*(tmp_path / "all" / "pictures").iterdir(), *(tmp_path / "remote").rglob("*.jpg")):
        change(path)
    with AnnotationStore.open(tmp_path / "other") as other:
        reported = [line.message for line in import_paths(other, [tmp_path / "all"], "it") if line.message]
        assert any(sha256[:12] in line for line in reported)
        with pytest.raises(StoreDamagedError, match=sha256[:12]):
            Synchroniser(other, remote, tmp_path).sync()
        assert list(other.tasks()) == []


def test_a_record_from_outside_cannot_give_a_picture_the_file_of_another(
    store: AnnotationStore, tmp_path: Path
) -> None:
    """The file's bytes match its name, and its size is right: only its pixels are wrong."""
    mine = add(store, encoded(photograph(1)))
    with AnnotationStore.open(tmp_path / "other") as other:
        theirs = add(other, encoded(photograph(2)))
        remote = FolderRemote(tmp_path / "remote")
        Synchroniser(other, remote, tmp_path).sync()
        own, foreign = store.picture_path(mine).name, other.picture_path(theirs).name
    (records,) = (tmp_path / "remote" / "records").iterdir()
    records.write_text(records.read_text().replace(foreign, own))
    with pytest.raises(StoreDamagedError, match="another picture"):
        Synchroniser(store, remote, tmp_path).sync()
    assert [task.sha256 for task in store.tasks()] == [mine]


@pytest.mark.parametrize("name", ["../segr1.db", "x.jpg", f"{'0' * 64}.exe", f"{'0' * 64}.jpg\n"])
def test_no_record_names_a_file_of_its_own_choice(store: AnnotationStore, tmp_path: Path, name: str) -> None:
    sha256 = add(store, encoded(photograph()))
    FORMATS["jsonl"](store, tmp_path / "all")
    lines = (tmp_path / "all" / "store.jsonl").read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"original": name})
    (tmp_path / "all" / "store.jsonl").write_text("\n".join(lines))
    with AnnotationStore.open(tmp_path / "other") as other:
        reported = [line.message for line in import_paths(other, [tmp_path / "all"], "it") if line.message]
        assert "original" in reported[0]
        assert list(other.tasks()) == []
    db = connect(tmp_path / "home" / "segr1.db")
    with db.conn:
        db.execute("UPDATE pictures SET original = ?", [name])
    db.close()
    assert any("original" in problem for problem in store.verify())
    with pytest.raises(StoreDamagedError):
        store.picture(sha256)


def test_a_store_of_before_takes_originals_beside_its_pngs(store: AnnotationStore, tmp_path: Path) -> None:
    came = encoded(photograph())
    picture = load_picture(came)
    before = store.add_picture(picture, "a.jpg")
    store.add_task(before, "the cat")
    assert add(store, came) == before
    assert store.picture_path(before).suffix == ".png"
    after = add(store, encoded(photograph(1)))
    assert store.picture_path(after).suffix == ".jpg"
    assert store.backup(tmp_path / "copy") == []
    shutil.rmtree(tmp_path / "home" / "pictures")
    shutil.copytree(tmp_path / "copy" / "pictures", tmp_path / "home" / "pictures")
    assert list(store.verify()) == []


@pytest.mark.parametrize("form", ["coco", "voc", "yolo", "labelme"])
def test_what_came_goes_out_again(store: AnnotationStore, tmp_path: Path, form: str) -> None:
    came = encoded(photograph())
    add(store, came, "sommer/écureuil 松鼠.JPG")
    report = FORMATS[form](store, tmp_path / "out", Options(pictures=ExportedPictures.ORIGINAL))
    (path,) = (tmp_path / "out").rglob("*.[jJ][pP][gG]")
    assert path.read_bytes() == came
    assert (path.parent.name, path.stem) == ("sommer", "écureuil 松鼠")
    assert not [line for line in report.warnings if "JPEG" in line]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_where_a_photograph_was_taken_stays_behind_when_a_format_is_asked_for(
    store: AnnotationStore, tmp_path: Path, form: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 51.0, 30.0)
    came = encoded(photograph(), form, exif=exif, **({} if form == "JPEG" else {"lossless": True}))
    add(store, came, f"a.{form.lower()}")
    for pictures, kept in (
        (None, True),
        (ExportedPictures.ORIGINAL, True),
        (ExportedPictures.PNG, False),
        (ExportedPictures.JPEG, False),
    ):
        out = tmp_path / str(pictures)
        FORMATS["coco"](store, out, Options(pictures=pictures))
        (path,) = (out / "images" / "train").iterdir()
        with Image.open(path) as image:
            assert bool(image.getexif().get_ifd(ExifTags.IFD.GPSInfo)) == kept


def test_pictures_in_another_format_are_made_when_asked_for(store: AnnotationStore, tmp_path: Path) -> None:
    came = encoded(photograph(), "WEBP", lossless=True)
    sha256 = add(store, came, "a.webp")
    FORMATS["coco"](store, tmp_path / "png", Options(pictures=ExportedPictures.PNG))
    (path,) = (tmp_path / "png").rglob("a.png")
    assert load_picture(path).sha256 == sha256
    FORMATS["coco"](store, tmp_path / "jpeg", Options(pictures=ExportedPictures.JPEG))
    assert Image.open(next((tmp_path / "jpeg").rglob("a.jpg"))).format == "JPEG"
    FORMATS["coco"](store, tmp_path / "none", Options(pictures=ExportedPictures.NONE))
    assert [path for path in (tmp_path / "none").rglob("*") if path.is_file() and path.suffix != ".json"] == []
