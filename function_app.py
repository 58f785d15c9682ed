"""Registers the triggers; the Functions worker loads this file."""

import azure.functions as func

from functions import (
    connections,
    console,
    exports,
    health,
    openapi,
    overview,
    queues,
    runs,
    schedule,
    segments,
    session,
)
from shared.settings import read_settings

read_settings()  # a setting that is missing or malformed stops the start here, and is named

app = func.FunctionApp()

for module in (
    connections,
    console,
    exports,
    health,
    openapi,
    overview,
    queues,
    runs,
    schedule,
    segments,
    session,
):
    app.register_functions(module.bp)
