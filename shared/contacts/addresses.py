"""Which email addresses can be sent to Constant Contact.

Its own syntax is not published; a bad address costs a correctable error in the import.
So what a plain pattern accepts is taken, what it plainly rules out is refused, and the few
between are left to email-validator. No name is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import email_validator
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shared.contacts import texts
from shared.contacts.rejects import Reason
from shared.contacts.texts import Text

LONGEST_ADDRESS = 80

# Up to this length the pattern alone keeps the local part within 64 characters and every
# label of the domain within 63.
_SURELY_SHORT = 64
_PLAIN = (
    r"^[a-z0-9_+&'-]+(\.[a-z0-9_+&'-]+)*"
    r"@([a-z0-9]+(-+[a-z0-9]+)*\.)+[a-z]{2,}$"
)
_HAS_SHAPE = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"
_SEVERAL = r"@.*[\s,;|/].*@"


@dataclass(frozen=True)
class Addresses:
    """A column of addresses, judged.

    Attributes:
        text: As they are sent: trimmed, an international domain in its ASCII form.
        keys: As they are compared: *text* in lower case.
        faults: For each row 0 if the address is fine, else the number of a `Reason`.
    """

    text: Text
    keys: Text
    faults: npt.NDArray[np.uint8]


def judged(column: Text) -> Addresses:
    """Return the addresses of *column* with what is wrong with each."""
    text = texts.trimmed(column)
    keys = pc.ascii_lower(text) if texts.is_ascii(texts.octets(text)) else pc.utf8_lower(text)
    sizes = np.diff(texts.bounds(keys))
    fine = texts.flags(pc.match_substring_regex(keys, _PLAIN)) & (sizes <= _SURELY_SHORT)
    faults = np.zeros(len(text), np.uint8)
    if fine.all():
        return Addresses(text, keys, faults)
    faults[sizes == 0] = Reason.EMAIL_MISSING.number
    doubtful = np.flatnonzero(~fine & (sizes > 0))
    some = text.take(pa.array(doubtful))
    shaped = texts.flags(pc.match_substring_regex(some, _HAS_SHAPE))
    several = texts.flags(pc.match_substring_regex(some, _SEVERAL))
    found = np.full(len(some), Reason.EMAIL_INVALID.number, np.uint8)
    found[shaped & texts.longer(some, LONGEST_ADDRESS)] = Reason.EMAIL_TOO_LONG.number
    found[several] = Reason.EMAIL_SEVERAL.number
    changed: dict[int, str] = {}
    for index in np.flatnonzero(shaped & (found == Reason.EMAIL_INVALID.number)).tolist():
        fault, address = _judge(some[index].as_py())
        found[index] = fault.number if fault else 0
        if address is not None:
            changed[int(doubtful[index])] = address
    faults[doubtful] = found
    if changed:
        mask = np.zeros(len(text), np.bool_)
        mask[list(changed)] = True
        text = pc.replace_with_mask(text, mask, pa.array(changed.values(), pa.string()))
        keys = pc.utf8_lower(text)
    return Addresses(text, keys, faults)


def _judge(address: str) -> tuple[Reason | None, str | None]:
    """Return what is wrong with *address*, or how it is sent if that is not as it came."""
    try:
        valid = email_validator.validate_email(
            address,
            allow_smtputf8=False,
            check_deliverability=False,
            globally_deliverable=False,
        )
    except email_validator.EmailNotValidError:
        return Reason.EMAIL_INVALID, None
    sent = valid.ascii_email
    if sent is None or valid.ascii_domain is None or "." not in valid.ascii_domain:
        return Reason.EMAIL_INVALID, None
    if len(sent) > LONGEST_ADDRESS:
        return Reason.EMAIL_TOO_LONG, None
    return None, None if sent.lower() == address.lower() else sent
