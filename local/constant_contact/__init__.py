"""Constant Contact's v3 API on 127.0.0.1, with its documented limits and habits.

``with ConstantContact(...) as cc:`` in a test, ``python -m local.constant_contact`` as a
process. Not there, because nothing here calls them: tags, segments, contact exports, the
sign-up form, the device and implicit flows. Contacts are matched on email only.
Contract: https://api.cc.email/v3/swagger.yaml
"""

from .account import Contact
from .faults import Ending, Fault
from .options import Options
from .routing import Received
from .stand_in import Call, ConstantContact

__all__ = ["Call", "ConstantContact", "Contact", "Ending", "Fault", "Options", "Received"]
