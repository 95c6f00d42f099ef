"""What people and their automations rely on, as lines of text: `python -m tests.interface > tests/interface.txt`.

Read off the program itself, without a Prefect server and without a word of help or messages. What only a server shows
is in `tests/upgrade/expected.json`, for the test of the upgrade: keys of the JSON of `connectors`, `poll` and other
commands that ask Prefect, and what the events at the end of a run hold.
"""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, get_args, get_origin
from unittest import mock

import polars as pl
import typer
import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.core import TyperGroup

from tests.upgrade.relations import keys_of
from tests.upgrade.site import unpack


def product() -> SimpleNamespace:
    """Everything that is imported from the program, in one place: modules move, their interface does not."""
    from flows.artifacts import dashboard_writer  # noqa: PLC0415
    from flows.cli import alerts, app, entry  # noqa: PLC0415
    from flows.cli.connector_options import ENVIRONMENT  # noqa: PLC0415
    from flows.server import login  # noqa: PLC0415
    from tasks import priority  # noqa: PLC0415
    from tasks.directory import export, model  # noqa: PLC0415
    from tasks.directory.imports import drop_folder  # noqa: PLC0415
    from tasks.directory.match import address_routes  # noqa: PLC0415
    from tasks.http import check, client  # noqa: PLC0415
    from tasks.ingest import coverage  # noqa: PLC0415
    from tasks.notifications import changes, events  # noqa: PLC0415
    from tasks.products import PRODUCTS  # noqa: PLC0415
    from tasks.settings import CHECKOUT, Settings  # noqa: PLC0415
    from tasks.store.factory import open_store  # noqa: PLC0415
    from tasks.triage import allow_list, decision  # noqa: PLC0415
    from tasks.window import Trigger  # noqa: PLC0415

    return SimpleNamespace(
        main=app.main,
        app=app.app,
        products=lambda: {name: each.connector for name, each in PRODUCTS.items()},
        open_store=open_store,
        Settings=Settings,
        CHECKOUT=CHECKOUT,
        single_events=events.single_events,
        digest_events=events.digest_events,
        event_prefix=events.PREFIX,
        event_names=events.NAMES,
        health_artifact=dashboard_writer.HEALTH,
        groups_artifact=dashboard_writer.URGENT,
        interrupted=entry.STOPPED,
        drop_folder=drop_folder.ensure_drop_folder,
        health_exit={**alerts.GRAVITY, "other": alerts.CRITICAL},
        variables=[entry.TRACEBACK, login.SERVER, *client.CA_VARIABLES],
        secret_prefix=ENVIRONMENT,
        values={
            "windows.trigger": get_args(Trigger),
            "windows.state": get_args(coverage.State),
            "alerts.status": get_args(decision.Status),
            "alerts.close_reason": get_args(decision.CloseReason),
            "alerts.disposition": priority.DISPOSITIONS,
            "alerts.priority": priority.RANKS,
            "allow_list.kind": get_args(allow_list.Kind),
            "directory_users.kind": model.KINDS,
            "directory_addresses.rule": model.ADDRESS_RULES,
            "directory_device_users.evidence": model.EVIDENCE,
            "directory_imports.state": get_args(export.ImportOutcome.__annotations__["state"]),
            "match_rule.way": address_routes.ROUTES,
            "connection test.state": get_args(check.Check.__annotations__["state"]),
            "message.kind": events.NAMES,
            "message.cause": get_args(changes.Cause),
        },
    )


def interface() -> str:
    """All sections, one after the other."""
    with TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(("ATTACHMENT_ALERTS_", "PREFECT_"))]:
            del os.environ[name]
        ours = product()
        home = unpack(Path(folder) / "home")
        sections = {
            "relations": _relations(ours, home),
            "values of columns": _values(ours, home),
            "settings": _settings(ours),
            "environment variables": _variables(ours),
            "commands": _commands(ours),
            "exit codes": _exit_codes(ours, Path(folder)),
            "keys of --json": _json_keys(ours, home),
            "block types": _blocks(ours),
            "deployments": _deployments(ours),
            "flows": _flows(ours),
            "events": _events(ours),
            "other names": _names(ours, home),
        }
        return "\n".join(line for title, lines in sections.items() for line in ("", f"# {title}", *lines))[1:] + "\n"


def _relations(ours: SimpleNamespace, home: Path) -> list[str]:
    ours.open_store(ours.Settings(home=home)).publish()
    asked = "table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'main'"
    columns = _ask(ours, home, f"SELECT {asked} ORDER BY ALL")
    return [f"{table}.{column} {kind}" for table, column, kind in columns]


def _values(ours: SimpleNamespace, home: Path) -> Iterator[str]:
    """Values that columns may have: as declared, as views choose them, as they occur in the fixture."""
    for name, values in ours.values.items():
        yield f"{name}: {_listed(values)}"
    [(view,)] = _ask(ours, home, "SELECT sql FROM duckdb_views() WHERE view_name = 'connector_health'")
    yield f"connector_health.state: {_listed(_chosen(view))}"
    statements = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ours.CHECKOUT.glob("tasks/sql/*.sql")))
    reopened = re.findall(r"CASE((?:(?!\bCASE\b).)*)END AS reopened_by", statements, re.DOTALL)
    yield f"alert_groups.reopened_by: {_listed(_chosen(' '.join(reopened)))}"
    occurring = {
        "scans": ["match_state"],
        "exposures": ["direction"],
        "alerts": ["classification", "sub_classification", "priority_rule", "route"],
    }
    for relation, columns in occurring.items():
        for column in columns:
            found = _ask(ours, home, f"SELECT DISTINCT {column} FROM {relation} WHERE {column} IS NOT NULL")
            yield f"{relation}.{column} (in the fixture): {_listed(value for (value,) in found)}"


def _chosen(sql: str) -> set[str]:
    return set(re.findall(r"(?:THEN|ELSE)[\s(]+'([a-z_]+)'", sql))


def _ask(ours: SimpleNamespace, home: Path, sql: str) -> list[tuple[Any, ...]]:
    with ours.open_store(ours.Settings(home=home)).reader() as reader:
        rows: list[tuple[Any, ...]] = reader.rows(sql)
        return rows


def _settings(ours: SimpleNamespace) -> Iterator[str]:
    for name, field in ours.Settings.model_fields.items():
        yield f"ATTACHMENT_ALERTS_{name.upper()}: {_field(field, ours)}"


def _field(field: FieldInfo, ours: SimpleNamespace) -> str:
    """Type, limits and default of a setting or a connector's field."""
    names = {"Ge": "at least", "Le": "at most"}
    limits = [
        f"{names[kind]} {getattr(each, kind.lower())}" for each in field.metadata if (kind := _name(each)) in names
    ]
    default = "required" if field.is_required() else f"= {_default(field.default, ours)}"
    return " ".join([_kind(field.annotation), *limits, default])


def _name(value: Any) -> str:
    return type(value).__name__


def _default(value: Any, ours: SimpleNamespace) -> str:
    if isinstance(value, SecretStr):
        return json.dumps(value.get_secret_value())
    if isinstance(value, Path):
        return value.relative_to(ours.CHECKOUT).as_posix()
    return "none" if value is None or value is PydanticUndefined else json.dumps(value, default=str)


def _kind(annotation: Any) -> str:
    """A type as it is documented."""
    if annotation is None or annotation is type(None):
        return "none"
    if choices := _choices(annotation):
        return _listed(choices)
    if get_origin(annotation) is not None:
        inner = "|".join(_kind(each) for each in get_args(annotation))
        return f"list of {inner}" if get_origin(annotation) is list else inner
    return "secret" if annotation is SecretStr else str(annotation.__name__).lower()


def _choices(annotation: Any) -> list[str]:
    if hasattr(annotation, "__members__"):
        return [str(each.value) for each in annotation]
    arguments = get_args(annotation)
    is_literal = bool(arguments) and all(isinstance(each, (str, int)) for each in arguments)
    return [str(each) for each in arguments] if is_literal else []


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(sorted(map(str, values)))


def _variables(ours: SimpleNamespace) -> list[str]:
    secrets = {
        f"{ours.secret_prefix}{name.upper()}"
        for each in ours.products().values()
        for name, field in each.model_fields.items()
        if field.annotation is SecretStr
    }
    return sorted({*ours.variables, *secrets})


def _commands(ours: SimpleNamespace) -> Iterator[str]:
    root = typer.main.get_command(ours.app)
    yield from _options("attachment-alerts", root)
    for path, command in sorted(_walk(root, "")):
        yield from _options(path, command)


def _walk(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if isinstance(command, TyperGroup):
            yield from _walk(command, f"{before}{name} ")


def _options(path: str, command: Any) -> Iterator[str]:
    parameters = [each for each in command.get_params(typer.Context(command)) if each.name != "help"]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    yield " ".join([path, *(f"<{_parameter(each)}>" for each in arguments)])
    for each in sorted(parameters, key=lambda each: str(each.opts)):
        if each.param_type_name == "option":
            yield f"{path} {' '.join(sorted([*each.opts, *each.secondary_opts]))}: {_parameter(each)}"


def _parameter(parameter: Any) -> str:
    described = _kind(parameter.type_descriptor.annotation) if parameter.type_descriptor else "bool"
    edges = [f"{name}={value}" for name in ("min", "max") if (value := getattr(parameter, name, None)) is not None]
    said = [described, *edges]
    if parameter.multiple or parameter.nargs != 1:
        said.append("repeated")
    said += [f"env {parameter.envvar}"] if parameter.envvar else []
    said.append("required" if parameter.required else f"= {json.dumps(parameter.default, default=str)}")
    return " ".join(said)


def _exit_codes(ours: SimpleNamespace, folder: Path) -> Iterator[str]:
    empty = ["--home", str(folder / "empty")]
    for said, arguments in {
        "--help": ["--help"],
        "no command": [],
        "an unknown option": ["alerts", "--nonsense"],
        "an unknown value": ["alerts", "--priority", "low"],
        "alerts, nothing published": ["alerts", *empty],
        "group, nothing published": ["group", "d0fb", *empty],
        "health, nothing published": ["health", *empty],
        "retention, nothing stored": ["retention", *empty],
        "triage without a reason": ["triage", "d0fb", "--status", "closed", *empty],
        "import-directory, no such file": ["import-directory", str(folder / "missing.csv"), *empty],
    }.items():
        yield f"{said}: {_call(ours, arguments)[0]}"
    yield f"Ctrl-C: {ours.interrupted}"
    for state, code in sorted(ours.health_exit.items()):
        yield f"health, a connector in state {state}: {code}"


def _call(ours: SimpleNamespace, arguments: list[str]) -> tuple[int, str]:
    """Exit code and standard output of a command, called in this process."""
    said = io.StringIO()
    with mock.patch.dict(os.environ), redirect_stdout(said), redirect_stderr(io.StringIO()):
        hook = sys.excepthook
        try:
            ours.main(arguments)
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
        finally:
            sys.excepthook = hook
    raise AssertionError("the command did not leave by SystemExit")


def _json_keys(ours: SimpleNamespace, home: Path) -> Iterator[str]:
    [(group,), *_] = _ask(ours, home, "SELECT group_id::VARCHAR FROM alert_groups WHERE exposure_count > 0")
    added = ["allow-list", "add", "hash", "ab" * 32, "--reason", "a test", "--author", "zoe", "--yes"]
    calls = {
        "alerts": ["alerts", "--status", "all"],
        "group": ["group", group],
        "health": ["health"],
        "triage": ["triage", group, "--status", "in_progress", "--by", "zoe"],
        "allow-list add": added,
        "allow-list list": ["allow-list", "list", "--all"],
        "allow-list remove": ["allow-list", "remove"],
        "regroup": ["regroup", "--by", "hash+priority"],
        "retention": ["retention"],
    }
    entry = ""
    for name, arguments in calls.items():
        given = [*arguments, entry] if name == "allow-list remove" else arguments
        _, text = _call(ours, [*given, "--json", "--home", str(home)])
        answer = json.loads(text)
        entry = answer["entry_id"] if name == "allow-list add" else entry
        yield from (f"{name}: {key}" for key in keys_of(answer))


def _blocks(ours: SimpleNamespace) -> Iterator[str]:
    for each in ours.products().values():
        slug = each.get_block_type_slug()
        yield f"{slug}: type {each.get_block_type_name()}, product {each.product}"
        for name, field in sorted(each.model_fields.items()):
            yield f"{slug}.{name}: {_field(field, ours)}"


def _deployments(ours: SimpleNamespace) -> Iterator[str]:
    declared = yaml.safe_load((ours.CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    for each in declared:
        name = f"{_flow(each['entrypoint']).name}/{each['name']}"
        rest = {
            key: value for key, value in each.items() if key not in ("name", "description", "entrypoint", "triggers")
        }
        yield f"{name}: {json.dumps(rest, sort_keys=True)}"
        for trigger in each.get("triggers", []):
            shown = {key: value for key, value in trigger.items() if key not in ("name", "description")}
            yield f"{name}, automation {trigger['name']!r}: {json.dumps(shown, sort_keys=True)}"


def _flows(ours: SimpleNamespace) -> Iterator[str]:
    declared = yaml.safe_load((ours.CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    for flow in sorted((_flow(each["entrypoint"]) for each in declared), key=lambda flow: str(flow.name)):
        yield f"{flow.name}({', '.join(flow.parameters.properties)})"
        schema = flow.parameters.model_dump()
        for name, field in schema["properties"].items():
            told = {key: value for key, value in field.items() if key not in ("title", "description", "position")}
            required = " required" if name in schema["required"] else ""
            yield f"{flow.name}.{name}{required}: {json.dumps(told, sort_keys=True)}"


def _flow(entrypoint: str) -> Any:
    from prefect.flows import load_flow_from_entrypoint  # noqa: PLC0415 - after the program's settings

    return load_flow_from_entrypoint(entrypoint.replace(".py:", ".").replace("/", "."), use_placeholder_flow=False)


def _events(ours: SimpleNamespace) -> Iterator[str]:
    """Names, and what resource and payload of each kind of event hold."""
    for name in sorted(ours.event_names.values()):
        yield f"event {ours.event_prefix}{name}"
    one = "00000000-0000-0000-0000-000000000001"
    row = {
        "notice_id": one, "tenant": "default", "kind": "group_opened", "cause": "poll", "digest": False, "at": None,
        "event_id": one, "group_id": one, "priority": "high", "priority_rank": 1, "file_sha256": "ab",
        "alert_count": 1, "recipient_count": 1, "user_count": 1, "device_count": 1, "exposure_count": 1,
        "released_count": 1,
        "first_detected_at": None, "last_detected_at": None, "connector": "NAME", "state": "ok", "last_error": None,
        "watermark": None, "urgent": True,
    }  # fmt: skip
    made = {
        "a group": ours.single_events(pl.DataFrame([row])),
        "a connector": ours.single_events(pl.DataFrame([row | {"kind": "connector_lost", "group_id": None}])),
        "a digest": ours.digest_events(pl.DataFrame([row | {"digest": True}])),
    }
    for about, [event] in made.items():
        _, _, resource, payload = event
        identity = resource["prefect.resource.id"].replace(one, "ID")
        yield f"about {about}: resource {identity}, labels {_listed(resource)}"
        yield f"about {about}: payload {_listed(keys_of(payload))}"


def _names(ours: SimpleNamespace, home: Path) -> Iterator[str]:
    ours_only = [each for each in entry_points(group="console_scripts") if each.name.startswith("attachment-alerts")]
    yield f"entry points: {_listed({each.name for each in ours_only})}"
    project = (ours.CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    logger = re.search(r'^logging\.extra_loggers = "(.+?)"', project, re.M)
    yield f"logger: {logger[1] if logger else '?'}"
    yield f"artifact: {ours.health_artifact}CONNECTOR"
    yield f"artifact: {ours.groups_artifact}"
    ours.drop_folder(ours.Settings(home=home))
    files = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if "prefect" not in path.parts)
    yield f"files in the home: {', '.join(files)}"
    for path in sorted(ours.CHECKOUT.glob("data/*.csv")):
        with path.open(encoding="utf-8", newline="") as rows:
            yield f"{path.name}: {', '.join(next(csv.reader(rows)))}"


if __name__ == "__main__":
    sys.stdout.write(interface())
