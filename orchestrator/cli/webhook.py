"""
``assay webhook``: who is told of what has happened, and what became of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import typer

from orchestrator.cli.options import AsJSON
from orchestrator.client.http import Client, connect, segment
from orchestrator.domain.errors import AssayError, InvalidError, NotFoundError
from orchestrator.terminal.output import errors, print_json, print_line, print_table
from orchestrator.terminal.words import known_by_end, moment

app = typer.Typer(help="Be told of what has happened.", no_args_is_help=True)

#: What is asked for where nothing is: the end of each job, however it came.
_ENDS = "job.done,job.timeout"

#: Seconds that a test is waited for, and from one look to the next: a call takes ten at
#: most, and waits for its turn.
_TEST_SECONDS = 20.0
_LOOK_SECONDS = 0.1

#: Characters of an id that name one of a few webhooks.
_PART_MIN = 4

WebhookID = Annotated[
    str,
    typer.Argument(metavar="WEBHOOK", help="Its id, or four characters of the end."),
]


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="What is called.")],
    on: Annotated[
        str,
        typer.Option(
            metavar="TYPES",
            help="Of what: job.done, job.timeout, task.failed, task.timeout and"
            " verdict.changed, with commas.",
        ),
    ] = _ENDS,
    customer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose; your own if left out.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Have a URL called; print its secret, this once."""
    order = {"url": url, "types": [part.strip() for part in on.split(",")]}
    if customer is not None:
        order["customer"] = customer
    with connect() as client:
        added = client.post("/webhook", order)
    if as_json:
        print_json(added)
        return
    print(f"WEBHOOK={added['id']}")
    print(f"SECRET={added['secret']}")
    errors.print(
        "The secret is shown only now: the receiver checks with it that a message is"
        " ours. See whether it does: assay webhook test WEBHOOK",
        soft_wrap=True,
    )


@app.command("list")
def list_(as_json: AsJSON = False) -> None:
    """List the webhooks."""
    with connect() as client:
        found = client.get_all("/webhook")
    if as_json:
        print_json(found)
        return
    print_table(
        ("webhook", "state", "waiting", "parked", "types", "url"),
        (
            (
                known_by_end(each["id"]),
                each["state"],
                each["waiting"],
                each["parked"],
                ", ".join(each["types"]),
                each["url"],
            )
            for each in found
        ),
    )


@app.command()
def deliveries(
    webhook: WebhookID,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE", help="waiting, delivered or parked; may be repeated."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="How many.")
    ] = 25,
    as_json: AsJSON = False,
) -> None:
    """List what a webhook was to be told, the newest first."""
    with connect() as client:
        path = f"/webhook/{_id_of(client, webhook)}/deliveries"
        found = client.get(path, limit=limit, **({"state": state} if state else {}))
    if as_json:
        print_json(found)
        return
    print_table(
        ("delivery", "type", "state", "tries", "when", "next", "answer"),
        map(_row, found),
    )


@app.command()
def redeliver(
    webhook: WebhookID,
    delivery: Annotated[
        str | None,
        typer.Argument(
            metavar="[DELIVERY]", help="Its whole id; all that are parked if left out."
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Send one message again, or all that were given up."""
    with connect() as client:
        path = f"/webhook/{_id_of(client, webhook)}"
        if delivery is not None:
            path = f"{path}/deliveries/{segment(delivery)}"
        done = client.put(f"{path}/redeliver")
    if as_json:
        print_json(done)
    else:
        print_line(f"{done['redelivered']} are sent again")


@app.command("test")
def call(webhook: WebhookID, as_json: AsJSON = False) -> None:
    """Call a webhook now, and say what it answers; 1 if it does not take it."""
    with connect() as client:
        path = f"/webhook/{_id_of(client, webhook)}"
        made = client.post(f"{path}/test", {})
        tried = _wait(client, f"{path}/deliveries/{made['id']}")
    if as_json:
        print_json(tried)
    if tried["state"] == "delivered":
        if not as_json:
            print_line(f"it was taken: {tried['status']}")
        return
    if tried["tries"] == 0:
        raise AssayError("nobody has called it yet; is assay deliver running?")
    raise AssayError(f"it was not taken: {tried['error']}")


@app.command()
def remove(webhook: WebhookID, as_json: AsJSON = False) -> None:
    """Call a webhook no more; what waits for it is thrown away."""
    with connect() as client:
        found = _id_of(client, webhook)
        client.delete(f"/webhook/{found}")
    if as_json:
        print_json({"removed": found})
    else:
        print_line(f"removed {found}")


def _id_of(client: Client, wanted: str) -> str:
    try:
        return str(UUID(wanted))
    except ValueError:
        pass
    if len(wanted) < _PART_MIN:
        raise InvalidError(
            f"'{wanted}' is no webhook: give its id, or four characters or more of its"
            " end; see assay webhook list",
            field="WEBHOOK",
        )
    ids = [str(each["id"]) for each in client.get_all("/webhook")]
    meant = [each for each in ids if each.endswith(wanted.lower())]
    return _only(meant, wanted)


def _only(meant: Sequence[str], wanted: str) -> str:
    if not meant:
        raise NotFoundError(
            f"no webhook ends with '{wanted}'; see assay webhook list", field="WEBHOOK"
        )
    if len(meant) > 1:
        raise NotFoundError(
            f"'{wanted}' may be {', '.join(meant)}; give more of it", field="WEBHOOK"
        )
    return meant[0]


def _wait(client: Client, path: str) -> Any:
    until = time.monotonic() + _TEST_SECONDS
    while True:
        found = client.get(path)
        over = found["state"] != "waiting" or found["error"] is not None
        if over or time.monotonic() > until:
            return found
        time.sleep(_LOOK_SECONDS)


def _row(found: dict[str, Any]) -> tuple[object, ...]:
    waits = found["state"] == "waiting" and not found["underWay"]
    return (
        known_by_end(found["id"]),
        found["type"],
        "under way" if found["underWay"] else found["state"],
        found["tries"],
        moment(found["createdTimestamp"]),
        moment(found["dueTimestamp"]) if waits else None,
        found["error"] or found["status"],
    )
