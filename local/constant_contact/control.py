"""The stand-in's face for other processes: JSON under ``/_stand_in/``.

It says and does what `ConstantContact` does in process; such calls are neither counted nor
limited.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from .answers import Refused, json_response, timestamp
from .faults import Fault

if TYPE_CHECKING:
    from .stand_in import ConstantContact

ROUTES = Map(
    [
        Rule(f"/_stand_in{path}", methods=[method], endpoint=name)
        for method, path, name in (
            ("GET", "/health", "health"),
            ("GET", "/options", "get_options"),
            ("PATCH", "/options", "change_options"),
            ("GET", "/lists", "get_lists"),
            ("POST", "/lists", "add_list"),
            ("GET", "/lists/<list_id>", "get_list"),
            ("DELETE", "/lists/<list_id>", "delete_list"),
            ("GET", "/lists/<list_id>/members", "get_members"),
            ("POST", "/contacts", "add_contacts"),
            ("GET", "/contacts/<email>", "get_contact"),
            ("DELETE", "/contacts/<email>", "delete_contact"),
            ("POST", "/unsubscribe", "unsubscribe"),
            ("POST", "/refuse", "refuse"),
            ("POST", "/custom_fields", "add_custom_field"),
            ("POST", "/faults", "add_fault"),
            ("POST", "/endings", "add_ending"),
            ("DELETE", "/faults", "clear_faults"),
            ("GET", "/calls", "get_calls"),
            ("DELETE", "/calls", "clear_calls"),
            ("GET", "/imports", "get_imports"),
            ("GET", "/activities", "get_activities"),
            ("POST", "/tokens", "issue_tokens"),
            ("POST", "/revoke", "revoke"),
            ("POST", "/expire_access_tokens", "expire_access_tokens"),
            ("POST", "/quota", "set_quota"),
        )
    ]
)


class Control:
    def __init__(self, stand_in: ConstantContact) -> None:
        self._it = stand_in

    def answer(self, request: Request) -> Response:
        """Answer 200 with JSON, or 4xx with ``{"error": …}``."""
        try:
            name, arguments = ROUTES.bind("").match(request.path, request.method)
            body = json.loads(request.get_data() or b"{}")
            return json_response(getattr(self, name)(body=body, **arguments))
        except HTTPException as error:
            return json_response({"error": error.name}, error.code or 500)
        except Refused as refused:
            return refused.response()
        except (ValidationError, TypeError, ValueError, KeyError) as error:
            return json_response({"error": str(error)}, 400)

    def health(self, body: Any) -> Any:
        return {"status": "ok"}

    def get_options(self, body: Any) -> Any:
        return asdict(self._it.options)

    def change_options(self, body: Any) -> Any:
        self._it.options.change(**body)
        return asdict(self._it.options)

    def get_lists(self, body: Any) -> Any:
        return [{"list_id": key, "name": name} for key, name in self._it.lists().items()]

    def add_list(self, body: Any) -> Any:
        return {"list_id": self._it.add_list(body["name"])}

    def get_list(self, body: Any, list_id: str) -> Any:
        count, digest = self._it.members_digest(list_id)
        return {"list_id": list_id, "count": count, "digest": digest}

    def delete_list(self, body: Any, list_id: str) -> Any:
        self._it.delete_list(list_id)
        return {}

    def get_members(self, body: Any, list_id: str) -> Any:
        return {"members": sorted(self._it.members(list_id))}

    def add_contacts(self, body: Any) -> Any:
        """Take ``{"contacts": [{"email", "lists", "permission", "values"}]}``."""
        return {"contact_ids": [self._it.add_contact(**each) for each in body["contacts"]]}

    def get_contact(self, body: Any, email: str) -> Any:
        found = self._it.contact(email)
        if found is None:
            return None
        return TypeAdapter(type(found)).dump_python(found, mode="json")

    def delete_contact(self, body: Any, email: str) -> Any:
        self._it.delete_contact(email)
        return {}

    def unsubscribe(self, body: Any) -> Any:
        self._it.unsubscribe(body["email"])
        return {}

    def refuse(self, body: Any) -> Any:
        self._it.refuse(body["email"])
        return {}

    def add_custom_field(self, body: Any) -> Any:
        """Take ``{"label", "type", "choices"}``."""
        name = self._it.add_custom_field(
            body["label"], body.get("type", "string"), body.get("choices", ())
        )
        return {"name": name}

    def add_fault(self, body: Any) -> Any:
        """Take the fields of `Fault`."""
        self._it.faults.add(TypeAdapter(Fault).validate_python(body))
        return {}

    def add_ending(self, body: Any) -> Any:
        """Take ``kind``, ``nth`` and the fields of `Ending`."""
        kind, nth = body.pop("kind", ".*"), tuple(body.pop("nth", ()))
        self._it.faults.end(kind, nth, **body)
        return {}

    def clear_faults(self, body: Any) -> Any:
        self._it.faults.clear()
        return {}

    def get_calls(self, body: Any) -> Any:
        return [asdict(call) | {"at": call.at.isoformat()} for call in list(self._it.calls)]

    def clear_calls(self, body: Any) -> Any:
        self._it.calls.clear()
        return {}

    def get_imports(self, body: Any) -> Any:
        return [
            {
                "file_name": each.file_name,
                "list_ids": each.list_ids,
                "rows": each.rows,
                "bytes": each.bytes,
                "activity_id": each.activity_id,
                "at": timestamp(each.at),
            }
            for each in self._it.imports
        ]

    def get_activities(self, body: Any) -> Any:
        return self._it.activities

    def issue_tokens(self, body: Any) -> Any:
        """Take ``{"scopes": […]}`` or nothing; answer as the token endpoint does."""
        return self._it.issue_tokens(**body)

    def revoke(self, body: Any) -> Any:
        self._it.revoke()
        return {}

    def expire_access_tokens(self, body: Any) -> Any:
        self._it.expire_access_tokens()
        return {}

    def set_quota(self, body: Any) -> Any:
        """Take ``{"used": n}``, what the day's count is from now on."""
        self._it.reset_quota()
        self._it.use_quota(int(body["used"]))
        return {"used": self._it.limits.used_today}
