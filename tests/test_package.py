"""The package's own names."""

import subprocess
import sys

LAZILY = """
import random, lowres
random.seed(0)
state = random.getstate()
lowres.diagnose, lowres.Recipe
assert state == random.getstate()
"""


def test_loading_a_name_when_it_is_first_used_draws_nothing_from_the_user_s_generator():
    done = subprocess.run([sys.executable, "-c", LAZILY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
