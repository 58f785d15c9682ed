"""The timer: starts what is due and picks up what was left lying."""

import logging

import azure.functions as func

from shared.bootstrap import product
from shared.settings import read_settings

bp = func.Blueprint()
log = logging.getLogger(__name__)


# Not "%EXPORT_SCHEDULE%": the host, which would fill that in, does not know the default.
@bp.function_name("schedule_exports")
@bp.timer_trigger(arg_name="timer", schedule=read_settings().export_schedule)
def schedule_exports(timer: func.TimerRequest) -> None:
    """Queue a run for each export that is due; harmless to run by hand, and it says what it did."""
    log.info("schedule_exports: %s", product().round.make())
