"""What on_a_fake_device.py holds, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch.utils.backend_registration

pytestmark = pytest.mark.slow


@pytest.mark.skipif(
    not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch cannot register a device from Python",
)
def test_every_function_works_on_a_device_that_has_no_kernel():
    file = Path(__file__).with_name("on_a_fake_device.py")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    said = subprocess.run(run, cwd=file.parent.parent, capture_output=True, text=True).stdout
    passed = re.search(r"^(\d+) passed in", said, re.MULTILINE)
    assert passed, said
    assert int(passed.group(1)) >= 30
