"""Whether the app answers at all."""

from typing import Literal

import azure.functions as func
from pydantic import BaseModel

from functions.exchange import answer
from functions.operations import open_operation

bp = func.Blueprint()


class Health(BaseModel):
    """The one thing that is said to everybody."""

    status: Literal["ok"] = "ok"


@open_operation(bp, "GET", "api/health", answer=Health)
def health(req: func.HttpRequest) -> func.HttpResponse:
    """Say ok, and nothing else: this route is open to everyone."""
    return answer(Health())
