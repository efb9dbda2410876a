"""Settings that the tests share."""

from hypothesis import Phase, settings

# One registers a device for the whole process, and runs in its own; the other is a task.
collect_ignore = ["on_a_fake_device.py", "mutants.py"]

settings.register_profile("pairloss", deadline=None, max_examples=25, derandomize=True)
# For the mutants it is enough that a case fails; the simplest one that does takes long to find.
settings.register_profile("mutants", settings.get_profile("pairloss"), phases=[Phase.generate])
settings.load_profile("pairloss")
