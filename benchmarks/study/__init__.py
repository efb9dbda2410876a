"""The study: which loss, which scoring function and how many dimensions, on data of real people.

``data`` has the data sets and their splits, ``losses`` the losses, ``models`` what learns and what people use instead,
``protocol`` the tuning and the judging, and ``__main__`` the questions. From benchmarks/:

python -m study losses references  two questions, or without a name every one
"""

import os

DEVICE = os.environ.get("DEVICE", "cpu")  # where the models learn
