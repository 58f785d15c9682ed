"""The queue of steps and its poison queue."""

import logging

import azure.functions as func

from shared.bootstrap import product
from shared.errors import Invalid
from shared.steps import parse_step

bp = func.Blueprint()
log = logging.getLogger(__name__)


@bp.function_name("perform_step")
@bp.queue_trigger(arg_name="message", queue_name="export-jobs", connection="EXPORT_STORAGE")
def perform_step(message: func.QueueMessage) -> None:
    """Carry a run on by one step; return to complete the message, raise to get it again."""
    step = parse_step(message.get_body())
    product().jobs.perform(step, redelivered=(message.dequeue_count or 1) > 1)


@bp.function_name("abandon_step")
@bp.queue_trigger(arg_name="message", queue_name="export-jobs-poison", connection="EXPORT_STORAGE")
def abandon_step(message: func.QueueMessage) -> None:
    """Close the run whose step failed on every delivery (``maxDequeueCount`` in host.json)."""
    try:
        step = parse_step(message.get_body())
    except Invalid:
        log.warning("export-jobs-poison: dropped a message that is no step of ours")
        return
    product().jobs.abandon(step)
