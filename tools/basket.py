"""Writes the collection's basket for the Icinga Director; with `--check` fails where it is stale.

The names, types and paths are those that the collection's `tools/build-basket` makes of the plugin,
with the variants and overwrites of the basket's .yml.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CHECK = "network-connections"
ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "integrations" / "linuxfabrik" / CHECK
BASKET = FOLDER / "icingaweb2-module-director" / f"{CHECK}.json"

PLUGIN = f"/usr/lib64/nagios/plugins/{CHECK}"
WINDOWS = f"C:\\Program Files\\icinga2\\sbin\\linuxfabrik\\{CHECK}"
MANUAL = f"https://linuxfabrik.github.io/monitoring-plugins/check-plugins/{CHECK}/"
TYPE = "Icinga\\Module\\Director\\DataType\\DataType{}"
# How titles spell what is no ordinary word.
SPELLED = {word.title(): word for word in ("JSON", "OK", "TCP", "TCP6", "UDP", "UDP6")}

# What the reference's basket calls its objects: a Director that knows them by their ids updates
# them. Those of others follow from their names.
_OWN = uuid.uuid5(uuid.NAMESPACE_DNS, f"{CHECK}.icingaweb2-module-director")
_REFERENCE = {
    "Command": {
        "cmd-check-network-connections": "eaafdf48-ee1a-44ed-be48-70bbe7fe1bac",
        "cmd-check-network-connections-windows": "d8c382e1-672f-44ee-976a-d4559de194bf",
        "cmd-check-network-connections-windows-python": "c8d7ebe0-6072-47a6-ab03-81c165037572",
    },
    "ServiceTemplate": {
        "tpl-service-network-connections": "a1d668a8-081f-4e0e-9494-a7eca2b87c1d",
        "tpl-service-network-connections-windows": "efd7dd6c-659f-4f10-9706-1f6a0ba09a43",
    },
    "DataList": {
        "network_connections_conn_status_list": "6cebc2c2-9998-4124-a6e6-00c8ce6e61e6",
        "network_connections_conn_type_list": "be340a86-5dd1-4a22-8de8-4f62652f2336",
        "network_connections_windows_conn_status_list": "71f00721-3bd8-41a4-a4ef-ae1f65919115",
        "network_connections_windows_conn_type_list": "935ce0a2-00dd-49c1-9c37-a59dfae35614",
    },
    "Datafield": {
        "network_connections_conn_status": "b8ad1ad2-8785-4085-9dc3-663a89dc7a7f",
        "network_connections_conn_type": "b26adf69-cac9-46ff-befd-7d883b03d686",
        "network_connections_critical": "01a55234-93ae-4d3d-a60c-88fe3ecfc095",
        "network_connections_warning": "2f4e66ee-b213-4ec2-b5aa-0e27dddcb5bc",
        "network_connections_windows_conn_status": "1dc1971f-4bcb-405f-826e-d2cfa2bdba2f",
        "network_connections_windows_conn_type": "5a390955-1364-4070-b23e-d2bab1184e83",
        "network_connections_windows_critical": "631618c9-a682-4bc5-8d10-218729782631",
        "network_connections_windows_warning": "f506d10d-cbb4-47a0-8f70-654c527848af",
    },
}
# What a service template of the Director can say and ours leave to the site.
_UNSAID = (
    *("action_url", "apply_for", "assign_filter", "check_interval", "check_period"),
    *("check_timeout", "command_endpoint", "display_name", "enable_active_checks"),
    *("enable_event_handler", "enable_flapping", "enable_passive_checks", "enable_perfdata"),
    *("event_command", "flapping_threshold_high", "flapping_threshold_low", "host"),
    *("icon_image", "icon_image_alt", "max_check_attempts", "notes", "notes_url"),
    *("retry_interval", "service_set", "template_choice", "use_agent", "use_var_overrides"),
    *("volatile", "zone"),
)

Basket = dict[str, dict[str, Any]]


def title(text: str) -> str:
    """Return a name as a title."""
    words = text.replace("-", " ").replace("_", " ").title().split()
    return " ".join(SPELLED.get(word, word) for word in words)


@functools.cache
def table() -> dict[str, Any]:
    """Return the option table, and the description of the check."""
    line = ["cargo", "run", "--quiet", "--example", "generate", "--", "table"]
    done = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def options() -> Iterator[dict[str, Any]]:
    """Yield the options that a site sets."""
    for option in table()["options"]:
        if not option["for_people"] and not option["hidden"]:
            yield option


def datatype(option: Mapping[str, Any], choices: str) -> dict[str, Any]:
    """Return the type of an option's field, and what there is to set of it."""
    several = option["action"] == "append"
    if option["action"] == "store_true":
        name, settings = "Boolean", dict[str, str]()
    elif option["choices"] is not None:
        name = "Datalist"
        kind = "array" if several else "string"
        settings = {"behavior": "strict", "data_type": kind, "datalist": choices}
    else:
        name, settings = "Array" if several else "String", {"visibility": "visible"}
    return {"datatype": TYPE.format(name), "format": None, "settings": settings}


def command(basket: Basket, name: str, line: str, of: str = "") -> dict[str, Any]:
    """Add a command, which takes from another, if there is one, all but its line."""
    made: dict[str, Any] = {
        "arguments": {},
        "command": line,
        "disabled": False,
        "fields": [],
        "imports": [of] if of else [],
        "is_string": None,
        "methods_execute": None if of else "PluginCheck",
        "object_name": name,
        "object_type": "object",
        "timeout": None if of else "10",
        "vars": {},
        "zone": None,
    }
    basket["Command"][name] = made
    return made


def template(
    basket: Basket, name: str, check_command: str, of: str = "", **variables: object
) -> None:
    """Add a service template; `variables` are those of the check."""
    made: dict[str, Any] = {
        **dict.fromkeys(_UNSAID),
        "check_command": check_command,
        "disabled": False,
        "enable_notifications": True,
        "fields": [],
        "groups": [],
        "imports": [of or "tpl-service-generic"],
        "object_name": name,
        "object_type": "template",
        "vars": {"criticality": "C", **variables},
    }
    if not of:
        made |= {
            "check_interval": 60,
            "enable_perfdata": True,
            "icon_image": f"{CHECK}.svg",
            "max_check_attempts": 5,
            "notes": table()["description"],
            "notes_url": MANUAL,
            "retry_interval": 15,
        }
    basket["ServiceTemplate"][name] = dict(sorted(made.items()))


def fields(basket: Basket, made: dict[str, Any], prefix: str) -> None:
    """Add a field for every option to a command, and the lists to choose from."""
    for option in options():
        long = option["names"][-1]
        name = f"{prefix}{long.removeprefix('--').replace('-', '_')}"
        switch = option["action"] == "store_true"
        argument: dict[str, Any] = {"set_if" if switch else "value": f"${name}$"}
        if option["action"] == "append":
            argument["repeat_key"] = True
        made["arguments"][long] = argument
        number = len(basket["Datafield"]) + 1
        made["fields"].append({"datafield_id": number, "is_required": "n", "var_filter": None})
        choices = f"{name}_list"
        default = "" if switch else f" Default: {option['default'] or 'none'}."
        basket["Datafield"][str(number)] = {
            "varname": name,
            "caption": f"{title(CHECK)}: {title(long.removeprefix('--'))}{'?' if switch else ''}",
            "description": option["help"] + default,
            **datatype(option, choices),
        }
        if option["choices"] is not None:
            entries = [
                {
                    "entry_name": choice,
                    "entry_value": title(choice),
                    "format": "string",
                    "allowed_roles": None,
                }
                for choice in option["choices"]
            ]
            basket["DataList"][choices] = {
                "list_name": choices,
                "owner": "icinga-admin",
                "entries": entries,
            }


def basket() -> Basket:
    """Return the basket."""
    made: Basket = {"Command": {}, "ServiceTemplate": {}, "DataList": {}, "Datafield": {}}
    base, service = f"cmd-check-{CHECK}", f"tpl-service-{CHECK}"
    linux = command(made, base, PLUGIN)
    template(made, service, base)
    fields(made, linux, "network_connections_")
    command(made, f"{base}-sudo", f"/usr/bin/sudo {PLUGIN}", base)
    template(made, f"{service}-sudo", f"{base}-sudo", service)
    # Everything that runs out, with built-in thresholds: a service of its own that needs no field.
    exhaustion = {"measure": "exhaustion", "lengthy": True, "strict": True}
    values = {f"network_connections_{name}": value for name, value in exhaustion.items()}
    template(made, f"{service}-exhaustion", base, service, **values)
    windows = command(made, f"{base}-windows", f"{WINDOWS}.exe")
    template(made, f"{service}-windows", f"{base}-windows")
    fields(made, windows, "network_connections_windows_")
    command(made, f"{base}-windows-python", f"C:\\Windows\\py {WINDOWS}.py", of=f"{base}-windows")
    for kind, objects in made.items():
        for key, entry in objects.items():
            name = entry["varname"] if kind == "Datafield" else key
            known = _REFERENCE[kind].get(name)
            entry["uuid"] = known or str(uuid.uuid5(_OWN, f"{kind} {name}"))
    return made


def main() -> None:
    """Write it, or compare it."""
    text = json.dumps(basket(), indent=4) + "\n"
    if sys.argv[1:] != ["--check"]:
        BASKET.write_text(text, encoding="utf-8")
    elif BASKET.read_text(encoding="utf-8") != text:
        sys.exit(f"stale, run `make generate`: {BASKET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
