"""The product, kept for the life of a process once it has been needed."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from shared.settings import read_settings

if TYPE_CHECKING:
    from shared.product import Product


@cache
def product() -> Product:
    """Return the product for this process's settings; `SettingInvalid` names what is wrong.

    Its parts are imported here, not when the app starts: Azure's SDKs and Arrow take a second
    that the worker's start must not wait for. Threads that need the first one together may make
    one each: what has to be one for all is in the storage account.
    """
    from shared.product import Product  # noqa: PLC0415

    # At INFO the SDK writes the URL of every call.
    logging.getLogger("azure").setLevel(logging.WARNING)
    return Product(read_settings())
