"""A believable Kiro on loopback: strict about requests, honest about streams, broken on demand.

It shares no decoder, no request builder and no parser with the proxy, so that a mistake on one side
shows on the other.

- ``Simulator``: start, stop, ``faults``, ``requests``, ``open_streams``, ``demo_credentials``.
- ``check_request``: the rules about request bodies on their own (``checker.RULES`` is the table).
- ``directives``: orders to the simulated model inside the prompt.
- ``faults``: everything that can be broken, by name.
"""

from kiroproxy.simulator.checker import Violation, check_request
from kiroproxy.simulator.server import Simulator
from kiroproxy.simulator.settings import Account, Settings

__all__ = ["Account", "Settings", "Simulator", "Violation", "check_request"]
