"""Whether two drawn figures show the same: all but to the byte in the pinned environment, roughly so elsewhere."""

import base64
import io
import re
from importlib.metadata import version
from pathlib import Path

import numpy
import PIL.Image

ROOT = Path(__file__).parent.parent
DRAW = ("matplotlib", "numpy", "pillow", "torch")
BLOCK = 12  # pixels: smaller than any panel, larger than what another version shifts a line by


def width(png):
    """In pixels."""
    return PIL.Image.open(io.BytesIO(base64.b64decode(png))).width


def pinned():
    """Whether what draws is what constraints.txt says."""
    pins = dict(re.findall(r"^([\w-]+)==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    return all(version(name).split("+")[0] == pins[name] for name in DRAW)


def _blocks(png):
    """The picture as means over blocks of pixels, from 0 for black to 1 for white."""
    image = numpy.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")) / 255
    image = image[..., :3].mean(-1) * image[..., 3] + 1 - image[..., 3]  # on white: figures have no ground of their own
    height, width = (size // BLOCK * BLOCK for size in image.shape)
    return image[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean((1, 3))


def difference(stored, drawn):
    """None for two PNGs (base64) that show the same, otherwise a sentence on how they differ."""
    if stored == drawn or base64.b64decode(stored) == base64.b64decode(drawn):
        return None
    a, b = _blocks(stored), _blocks(drawn)
    apart = max(abs(ours - theirs) for ours, theirs in zip(a.shape, b.shape, strict=True))
    if apart > (0 if pinned() else 2):  # another version may leave a little more room for text
        return f"is of another size: {b.shape} blocks instead of {a.shape}"
    height, width = map(min, a.shape, b.shape)
    a, b = a[:height, :width], b[:height, :width]
    share = numpy.abs(a - b).sum() / max(numpy.abs(1 - a).sum(), 1)
    # Other vector units round the points of a curve to other pixels, .3 % of the ink in what was tried. Another version
    # sets text a little elsewhere, which was up to 53 % of it. With another figure it is 92 % or more.
    return f"differs: {share:.1%} of its ink lies elsewhere" if share > (0.02 if pinned() else 0.75) else None
