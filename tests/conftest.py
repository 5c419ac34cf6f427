"""What holds for every test: examples have no deadline, machines are shared and no timing is a test.

`make test` draws the same examples each time, so that a failure is about the change at hand; `make explore`
draws new ones, to find what nobody thought of.
"""

import os
import signal

from hypothesis import HealthCheck, settings

# A shell gives its background jobs an ignored Ctrl-C, which children inherit: then no test of it could pass.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples that are drawn slowly are no failure either: hypothesis measures that by the wall clock.
patient = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", patient, derandomize=True)
settings.register_profile("explore", patient, derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("MONEYPATH_EXAMPLES", "same"))
