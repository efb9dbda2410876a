"""Where every run starts, of the tests and of the notebooks: what both need is set here."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Tests and notebooks run side by side: with all threads in each process they take five times the processor's time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# In a home that cannot be written matplotlib and IPython warn, in every first cell: then they get one of their own.
if not os.access(Path.home(), os.W_OK):
    os.environ["HOME"] = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
