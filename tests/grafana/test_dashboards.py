"""The dashboards and their provisioning name what exists: plugins, data sources, queries, variables, each other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2] / "grafana-plugin"
PLUGINS = ROOT / "plugins"
DASHBOARDS = sorted((ROOT / "dashboards").glob("*.json"))
SOURCE = "chronotope-topology-datasource"
STOCK = {"timeseries", "table"}


def words_of(name: str, file: str) -> set[str]:
    """The texts of a constant list of the data source's code."""
    found = re.search(rf"{name} = \[([^\]]*)\]", (PLUGINS / "datasource" / "src" / file).read_text())
    assert found, f"{file} has no {name}"
    return set(re.findall(r"'([^']+)'", found[1]))


def fields_of_queries() -> set[str]:
    text = (PLUGINS / "datasource" / "src" / "types.ts").read_text()
    return set(re.findall(r"^  (\w+)\??:", text, re.M)) | {"refId", "datasource", "hide"}


def read(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text())
    return board


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_what_the_data_source_answers(path: Path) -> None:
    """Each query's type and fields are known; each variable it names is the dashboard's."""
    board = read(path)
    known = {variable["name"] for variable in board["templating"]["list"]}
    for panel in board["panels"]:
        assert panel["type"] in STOCK | {json.loads((PLUGINS / "panel/src/plugin.json").read_text())["id"]}
        for target in panel["targets"]:
            if target["datasource"]["type"] != SOURCE:
                continue
            assert target["queryType"] in words_of("QUERY_TYPES", "types.ts")
            assert set(target) <= fields_of_queries()
        named = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps([panel["title"], panel["targets"]])))
        assert named <= known, panel["title"]


def test_dashboards_have_ids_of_their_own_and_links_lead_to_one_of_them() -> None:
    uids = [read(path)["uid"] for path in DASHBOARDS]
    assert len(set(uids)) == len(uids) == 3
    linked = set(re.findall(r"/d/([\w-]+)", "".join(path.read_text() for path in DASHBOARDS)))
    assert linked <= set(uids)


def test_provisioning_fits_the_plugins_and_the_dashboards() -> None:
    """The source that dashboards name is provisioned; what compose mounts is in the repository or is built."""
    sources = yaml.safe_load((ROOT / "provisioning/datasources/chronotope.yaml").read_text())["datasources"]
    assert {(own["type"], own["uid"]) for own in sources} >= {(SOURCE, "chronotope")}
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    built = {"./plugins/panel/dist", "./plugins/datasource/dist", "../dist"}
    for path in mounted:
        assert path in built or (ROOT / path).exists(), path
    folder = yaml.safe_load((ROOT / "provisioning/dashboards/chronotope.yaml").read_text())["providers"][0]
    assert any(volume.endswith(f"{folder['options']['path']}:ro") for volume in services["grafana"]["volumes"])
