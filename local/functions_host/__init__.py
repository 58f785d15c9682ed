"""A small Azure Functions host for machines without Core Tools: HTTP, queue and timer triggers.

``with Host(app, environment, host_json) as host:`` in a test, ``python -m local.functions_host``
as a process. It keeps the real host's rules where those trip people, and refuses at load what
the real host would refuse. Not there: keys (`auth_level` is not looked at), output bindings,
`async def` functions, `retry` policies, timers' memory of missed runs.
"""

from .functions import Function, HostRefused
from .host import Host
from .options import QueueOptions

__all__ = ["Function", "Host", "HostRefused", "QueueOptions"]
