"""Files that are not of this project, and an object whose pickle runs code."""

import io
import os
import pickle
import zipfile

import numpy as np
from PIL import Image


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def png():
    """Give the bytes of a small image."""
    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, format="PNG")
    return buffer.getvalue()


def zipped():
    """Give the bytes of an archive that holds a text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "text")
    return buffer.getvalue()


def npy():
    """Give the bytes of a single array, saved by NumPy without the archive around it."""
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, 2, 2), np.float16))
    return buffer.getvalue()


FOREIGN = {
    "empty": b"",
    "text": b"epoch,loss\n1,0.5\n",
    "bytes": bytes(range(256)),
    "image": png(),
    "archive": zipped(),
    "array": npy(),
    "pickle": pickle.dumps([1, 2, 3]),
}
