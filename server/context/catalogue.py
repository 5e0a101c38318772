"""Catalogue files: who owns a service, how important it is, where its code is. Pure.

Two forms, also several YAML documents in one file:

- `services:` with a mapping of service (its id, or its name alone) → attributes;
- Backstage's `catalog-info.yaml`: `Component` is a service; `System`, `Domain` and `Group` complete it. A component is
  the service that the annotation `chronotope/service` names, else `backstage.io/kubernetes-id` in
  `backstage.io/kubernetes-namespace`, else of its name.

Invariant: values are text as it stands in the file. A name without a namespace is that of every service so called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from chronotope.schema.errors import InvalidConfig
from chronotope.schema.names import clean_name, service_id, split_service_id

Attributes = dict[str, str]
MOST_ATTRIBUTES = 32
_ACCEPTED = "accepted: `services:` with service → attributes, or Backstage entities with apiVersion and kind"
_REPOSITORY = ("backstage.io/source-location", "backstage.io/view-url", "github.com/project-slug")
_ON_CALL = ("pagerduty.com/service-id", "opsgenie.com/team", "grafana.com/oncall")


def read_catalogue(paths: Iterable[str | Path]) -> dict[str, Attributes]:
    """Return service → attributes of some files; what a later file says of a service wins.

    Raises:
        InvalidConfig: a file cannot be read, is no YAML, or is no catalogue.
    """
    found: dict[str, Attributes] = {}
    entities: list[dict[str, Any]] = []
    for path in paths:
        for number, document in enumerate(_documents(path), start=1):
            where = f"{path}: document {number}"
            if isinstance(document, dict) and "kind" in document and "apiVersion" in document:
                entities.append(document)
            elif isinstance(document, dict) and isinstance(document.get("services"), dict):
                for service, facts in document["services"].items():
                    found.setdefault(clean_name(str(service)), {}).update(_plain(facts, f"{where}: {service}"))
            elif document is not None:
                raise InvalidConfig(f"{where} is no catalogue; {_ACCEPTED}")
    for service, facts in components(entities):
        found.setdefault(service, {}).update(facts)
    return {service: dict(list(facts.items())[:MOST_ATTRIBUTES]) for service, facts in found.items() if facts}


def components(entities: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Attributes]]:
    """Yield the service and the attributes of each Backstage component."""
    every = list(entities)
    named = {(str(one["kind"]).lower(), _name(_part(one, "metadata"))): one for one in every}
    for one in every:
        if str(one["kind"]).lower() == "component":
            service = _service(_part(one, "metadata"))
            if service:
                yield service, _component(one, named)


def resolve(catalogue: Mapping[str, Attributes], services: Iterable[str]) -> dict[str, Attributes]:
    """Return the attributes of known services, by id; a name alone stands for all services with that name."""
    found: dict[str, Attributes] = {}
    for service in services:
        name = split_service_id(service)[1]
        facts = {**catalogue.get(name, {}), **catalogue.get(service, {})}
        if facts:
            found[service] = facts
    return found


def _documents(path: str | Path) -> list[Any]:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return list(yaml.load_all(file, Loader=yaml.BaseLoader))
    except OSError as error:
        raise InvalidConfig(f"catalogue {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"catalogue {path} is no YAML: {' '.join(str(error).split())}") from error


def _plain(facts: Any, where: str) -> Attributes:
    if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
        raise InvalidConfig(
            f"{where} has no attributes; accepted: a mapping of names to texts, such as `team: checkout`"
        )
    return {clean_name(key): clean_name(value) for key, value in facts.items() if value}


def _part(entity: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = entity.get(name)
    return part if isinstance(part, dict) else {}


def _name(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("name", "")).lower()


def _service(metadata: Mapping[str, Any]) -> str:
    facts = _part(metadata, "annotations")
    if service := facts.get("chronotope/service"):
        return clean_name(str(service))
    name = str(facts.get("backstage.io/kubernetes-id") or metadata.get("name", ""))
    return service_id(clean_name(name), clean_name(str(facts.get("backstage.io/kubernetes-namespace", ""))))


def _component(entity: Mapping[str, Any], named: Mapping[tuple[str, str], Mapping[str, Any]]) -> Attributes:
    metadata, spec = _part(entity, "metadata"), _part(entity, "spec")
    annotations = _part(metadata, "annotations")
    system = _referred(spec.get("system"))
    of_system = _part(named.get(("system", system.lower()), {}), "spec")
    owner = str(spec.get("owner") or of_system.get("owner") or "")
    kind, _, name = owner.rpartition(":")
    team = _referred(name) if kind.lower() in ("", "group") else ""
    group = _part(named.get(("group", team.lower()), {}), "spec")
    facts = {
        **{str(key): value for key, value in _part(metadata, "labels").items()},
        "owner": _referred(name),
        "team": team,
        "department": _referred(group.get("parent")),
        "system": system,
        "domain": _referred(spec.get("domain") or of_system.get("domain")),
        "lifecycle": spec.get("lifecycle"),
        "repository": _repository(annotations),
        "on_call": next((annotations[key] for key in _ON_CALL if key in annotations), ""),
        **_links(metadata.get("links")),
    }
    return {clean_name(key): clean_name(value) for key, value in facts.items() if isinstance(value, str) and value}


def _referred(reference: Any) -> str:
    """The name in an entity reference, `[kind:][namespace/]name`."""
    return str(reference or "").rpartition(":")[2].rpartition("/")[2]


def _repository(annotations: Mapping[str, Any]) -> str:
    for key in _REPOSITORY:
        if isinstance(facts := annotations.get(key), str):
            facts = facts.removeprefix("url:")
            return f"https://github.com/{facts}" if key == "github.com/project-slug" else facts
    return ""


def _links(links: Any) -> Attributes:
    """Links by their type, else by their title, in lower case."""
    found: Attributes = {}
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and isinstance(link.get("url"), str):
            name = str(link.get("type") or link.get("title") or "link").strip().lower().replace(" ", "_")
            found.setdefault(name, link["url"])
    return found
