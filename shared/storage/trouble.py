"""The one place where Azure's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.identity import CredentialUnavailableError

from shared.errors import AccessRefused, ServiceUnavailable
from shared.events import Event, emit


@contextmanager
def translated(service: str = "storage") -> Iterator[None]:
    """Let answers about the document itself through; translate all other trouble.

    Messages of the SDK are dropped: they hold URLs and request bodies.
    """
    try:
        yield
    except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
        raise
    except ClientAuthenticationError as error:
        if isinstance(error, CredentialUnavailableError) or error.response is None:
            # Nobody refused anything: the app's identity got no token to ask with.
            raise ServiceUnavailable(
                f"Azure gave the app's identity no token for its {service}."
            ) from None
        emit(Event.ACCESS_REFUSED, code=service)
        raise AccessRefused(f"Azure refused the app's access to its {service}.") from None
    except HttpResponseError as error:
        if error.status_code == 403:
            emit(Event.ACCESS_REFUSED, code=service)
            raise AccessRefused(f"Azure refused the app's access to its {service}.") from None
        raise ServiceUnavailable(
            f"Azure's {service} answered {error.status_code or 'nothing usable'}."
        ) from None
    except AzureError as error:
        raise ServiceUnavailable(
            f"No answer from Azure's {service} ({type(error).__name__})."
        ) from None
