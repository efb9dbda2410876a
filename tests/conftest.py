"""Settings that the tests share."""

from hypothesis import settings

# One registers a device for the whole process, and runs in its own; the other is a task.
collect_ignore = ["on_a_fake_device.py", "mutants.py"]

settings.register_profile("pairloss", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("pairloss")
