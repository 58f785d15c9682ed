"""Queue messages: one is one step of a run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from shared import tracing
from shared.errors import Invalid
from shared.ids import RUN_ID, SLUG


class StepKind(StrEnum):
    """What the message asks for; what is done next, the run document decides."""

    PREPARE = "prepare"
    SEND = "send"
    FOLLOW = "follow"
    REMOVE = "remove"
    FINISH = "finish"


class Step(BaseModel):
    """One step of a run: ``{"run": "<export_id>/<run_id>", "step": "send", "position": 3}``.

    ``position`` is the run's own when the message was written: a message that is behind it was
    delivered twice or late, and has nothing left to do. ``outages`` counts how often in a row
    storage could not be reached to write the wait down. ``traceparent`` is the span that the
    message was sent in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: Annotated[str, Field(pattern=f"^{SLUG}/{RUN_ID}$")]
    step: StepKind
    position: NonNegativeInt = 0
    outages: NonNegativeInt = 0
    traceparent: Annotated[str, Field(max_length=55)] | None = None

    def after_outage(self) -> Step:
        """Return this step for another try."""
        return self.model_copy(update={"outages": self.outages + 1})


def parse_step(body: bytes) -> Step:
    """Return the step in a message, or raise `Invalid` if the message is not ours."""
    try:
        return Step.model_validate_json(body)
    except ValidationError:
        raise Invalid("The queue message is not a step of a run.") from None


def write_step(step: Step) -> str:
    """Return the message for *step*: plain JSON, as host.json says ``messageEncoding: none``."""
    return step.model_copy(update={"traceparent": tracing.here()}).model_dump_json()
