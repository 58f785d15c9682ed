"""The app's functions as the host sees them, checked as it checks them."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from azure.functions import FunctionApp
from azure.functions.meta import get_binding_registry

# Names as ScriptHost and its Utility allow them:
# https://github.com/Azure/azure-functions-host/blob/dev/src/WebJobs.Script/Utility.cs
FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
BINDING_NAME = re.compile(r"[a-z][a-z0-9]{0,127}", re.IGNORECASE)
RESERVED = ("admin", "runtime")
TRIGGERS = ("httpTrigger", "queueTrigger", "timerTrigger")
SETTING = re.compile(r"%([^%]+)%")


class HostRefused(Exception):
    """The app cannot run as it is; the sentence names the function or the setting."""


@dataclass(frozen=True)
class Function:
    """A function with its trigger, `%SETTING%` already replaced."""

    name: str
    call: Callable[..., object]
    trigger: str
    argument: str  # what the trigger's value is called
    disabled: bool = False
    route: str = ""
    methods: tuple[str, ...] = ()  # none: any
    queue: str = ""
    connection: str = ""
    schedule: str = ""

    def summary(self) -> dict[str, Any]:
        """Return what the portal's list shows."""
        match self.trigger:
            case "httpTrigger":
                where: dict[str, Any] = {"route": f"/{self.route}", "methods": list(self.methods)}
            case "queueTrigger":
                where = {"queue": self.queue, "connection": self.connection}
            case _:
                where = {"schedule": self.schedule}
        return {"name": self.name, "trigger": self.trigger, "disabled": self.disabled, **where}


def read_functions(
    app: FunctionApp, environment: Mapping[str, str], prefix: str
) -> Sequence[Function]:
    """Return the app's functions in alphabetical order, the order routes are tried in."""
    functions = [_read(built, environment, prefix) for built in app.get_functions()]
    return sorted(functions, key=lambda function: function.name.lower())


def _read(built: Any, environment: Mapping[str, str], prefix: str) -> Function:
    name, call = built.get_function_name(), built.get_user_function()
    if not FUNCTION_NAME.fullmatch(name):
        raise HostRefused(f"{name}: not a function name; letters, digits, '_' and '-' only.")
    bindings = [_plain(binding) for binding in built.get_dict_repr()["bindings"]]
    triggers = [binding for binding in bindings if binding["type"] in TRIGGERS]
    others = {binding["type"] for binding in bindings} - {*TRIGGERS, "http"}
    if len(triggers) != 1 or others:
        raise HostRefused(f"{name}: this host takes one HTTP, queue or timer trigger, no more.")
    trigger = triggers[0]
    if not BINDING_NAME.fullmatch(trigger["name"]):
        raise HostRefused(
            f"{name}: the host refuses the binding name '{trigger['name']}'; "
            "letters and digits only."
        )
    _check_signature(name, call, trigger)
    route = trigger.get("route", name).strip("/")
    if trigger["type"] == "httpTrigger" and route.lower().startswith(RESERVED):
        raise HostRefused(f"{name}: routes beginning with {' or '.join(RESERVED)} are the host's.")
    if trigger.get("runOnStartup"):
        raise HostRefused(f"{name}: run_on_startup fires on every scale-out; not supported here.")

    def resolved(key: str) -> str:
        return _resolve(str(trigger.get(key, "")), name, environment)

    return Function(
        name=name,
        call=call,
        trigger=trigger["type"],
        argument=trigger["name"],
        disabled=environment.get(f"AzureWebJobs.{name}.Disabled", "").lower() in {"1", "true"},
        route="/".join(part for part in (prefix, route) if part),
        methods=tuple(trigger.get("methods") or ()),
        queue=resolved("queueName"),
        connection=resolved("connection"),
        schedule=resolved("schedule"),
    )


def _plain(binding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a binding with its enums as text."""

    def text(value: Any) -> Any:
        if isinstance(value, Enum):
            return value.value
        return [text(each) for each in value] if isinstance(value, (list, tuple)) else value

    return {key: text(value) for key, value in binding.items()}


def _check_signature(name: str, call: Callable[..., object], trigger: Mapping[str, Any]) -> None:
    """Compare parameters with the binding, as the Python worker does when it loads."""
    if inspect.iscoroutinefunction(call):
        raise HostRefused(f"{name}: this host runs synchronous functions only.")
    parameters = list(inspect.signature(call).parameters)
    if parameters != [trigger["name"]]:
        raise HostRefused(
            f"{name}: takes {parameters or 'nothing'}, its binding gives ['{trigger['name']}']."
        )
    kind = typing.get_type_hints(call).get(trigger["name"])
    converter = get_binding_registry().get(trigger["type"])  # type: ignore[no-untyped-call]
    if kind is not None and not converter.check_input_type_annotation(kind):
        raise HostRefused(f"{name}: a {trigger['type']} cannot give a {kind.__name__}.")


def _resolve(text: str, name: str, environment: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in environment:
            raise HostRefused(f"{name}: the setting {found[1]} is missing.")
        return environment[found[1]]

    return SETTING.sub(value, text)
