"""Registers the triggers; the Functions worker loads this file.

A setting that is missing or malformed stops it here and is named: `schedule` reads them all.
"""

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
