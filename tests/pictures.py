"""Whether two drawn figures are the same: to the byte where the environment is the pinned one, nearly so elsewhere."""

import base64
import io
import re
from importlib.metadata import version
from pathlib import Path

import matplotlib.image
import numpy

ROOT = Path(__file__).parent.parent
DRAW = ("matplotlib", "numpy", "pillow", "torch")
BLOCK = 12  # pixels: smaller than any panel, larger than what another version shifts a line by


def pinned():
    """Whether what draws is what constraints.txt says."""
    pins = dict(re.findall(r"^([\w-]+)==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    return all(version(name).split("+")[0] == pins[name] for name in DRAW)


def _blocks(png):
    """The picture as means over blocks of pixels, from 0 for black to 1 for white."""
    image = matplotlib.image.imread(io.BytesIO(base64.b64decode(png)))[..., :3].mean(-1)
    height, width = (size // BLOCK * BLOCK for size in image.shape)
    return image[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean((1, 3))


def difference(stored, drawn):
    """None for two PNGs (base64) that show the same, otherwise a sentence on how they differ."""
    if stored == drawn or base64.b64decode(stored) == base64.b64decode(drawn):
        return None
    a, b = _blocks(stored), _blocks(drawn)
    if a.shape != b.shape:
        return f"is of another size: {b.shape} blocks instead of {a.shape}"
    far = numpy.abs(a - b)
    what = f"differs: by {far.mean():.2%} of a step from black to white on average, by {far.max():.1%} at most"
    if pinned():
        return what
    return what if far.mean() > 0.01 or far.max() > 0.4 else None
