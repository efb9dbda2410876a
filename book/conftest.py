"""Under nbval: no progress bar, which would fail the cell, and figures are compared."""

import os

import nbval.plugin

from tests import pictures

os.environ["TQDM_DISABLE"] = "1"

compare_text = nbval.plugin.IPyNbCell.compare_outputs


def compare_outputs(cell, test, ref, skip_compare=None):
    """What nbval compares, and then the pictures, which it leaves out."""
    if not compare_text(cell, test, ref, skip_compare):
        return False
    stored, drawn = ([o["data"]["image/png"] for o in side if "image/png" in o.get("data", {})] for side in (ref, test))
    wrong = [f"{len(drawn)} figures were drawn, {len(stored)} are stored"] if len(stored) != len(drawn) else []
    for number, pair in enumerate(zip(stored, drawn, strict=False), 1):
        if what := pictures.difference(*pair):
            wrong.append(f"figure {number} of the cell {what}")
    cell.comparison_traceback += wrong
    return not wrong


nbval.plugin.IPyNbCell.compare_outputs = compare_outputs
