"""The product, made once for a process when it is first needed."""

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
    that the worker's start must not wait for.
    """
    from shared.product import Product  # noqa: PLC0415

    # At INFO the SDK writes the URL of every call.
    logging.getLogger("azure").setLevel(logging.WARNING)
    return Product(read_settings())
