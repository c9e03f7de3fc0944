"""The formats of files that are found under an image's name, by their first bytes."""

HEAD = 512  # bytes that tell a file's format

# First bytes, at an offset, of files that are found under an image's name.
SIGNATURES = (
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftypavi", "an AVIF image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftyphev", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (4, b"ftypmsf1", "a HEIC image"),
    (4, b"ftypcrx", "a camera's RAW file"),
    (4, b"ftyp", "a video"),
    (8, b"AVI ", "a video"),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (4, b"jP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (4, b"JXL ", "a JPEG XL image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"II\xbc", "a JPEG XR image"),
    (0, b"FUJIFILMCCD-RAW", "a camera's RAW file"),
    (0, b"IIU\x00", "a camera's RAW file"),
    (0, b"IIR", "a camera's RAW file"),
    (0, b"MMOR", "a camera's RAW file"),
    (0, b"FOVb", "a camera's RAW file"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (0, b"II+\x00", "a BigTIFF image"),
    (0, b"MM\x00+", "a BigTIFF image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"\x00\x05\x16\x07", "a hidden file of a Mac"),
    (0, b"\x00\x00\x01\x00", "an icon"),
    (128, b"DICM", "a DICOM file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"qoif", "a QOI image"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not fetched yet"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
)
TEXTS = (("<svg", "an SVG drawing"), ("<html", "a web page"), ("<!doctype html", "a web page"))


def named_format(head: bytes) -> str:
    """The format of a file by its first bytes, with an article; empty if it is not known."""
    for offset, signature, name in SIGNATURES:
        if head[offset:].startswith(signature):
            return name
    text = head.decode("utf-8", errors="ignore").lstrip("\ufeff \r\n\t").lower()
    return next((name for start, name in TEXTS if start in text[:HEAD]), "")
