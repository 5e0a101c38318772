from __future__ import annotations

import json
import re
from xml.etree import ElementTree

from flask.testing import FlaskClient

T0 = 1_700_006_400
HOSTILE = 'db"<&>`\\%/x y'


def render(client: FlaskClient, form: str) -> str:
    answer = client.get(f"/api/v1/graph?from={T0}&to={T0 + 60}&format={form}")
    assert answer.status_code == 200
    return answer.text


def test_a_hostile_name_stays_a_name_in_graphml(client: FlaskClient) -> None:
    namespace = "{http://graphml.graphdrawing.org/xmlns}"
    root = ElementTree.fromstring(render(client, "graphml"))
    ids = [node.get("id") for node in root.iter(f"{namespace}node")]
    assert HOSTILE in ids
    assert {edge.get("target") for edge in root.iter(f"{namespace}edge")} <= set(ids)


def test_a_hostile_name_stays_a_name_in_dot(client: FlaskClient) -> None:
    text = render(client, "dot")
    quoted = '"' + HOSTILE.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert f"  {quoted} [label={quoted} shape=cylinder];" in text
    strings = re.sub(r'"(?:[^"\\]|\\.)*"', "S", text)
    assert all(re.fullmatch(r"  (S \[label=S shape=\w+\]|S -> S \[label=S\]|rankdir=LR);", line)
               for line in strings.splitlines()[1:-1])  # fmt: skip


def test_a_hostile_name_stays_a_name_in_mermaid(client: FlaskClient) -> None:
    text = render(client, "mermaid")
    assert '[("db#quot;#lt;#amp;#gt;#96;#92;#37;/x y")]' in text
    assert all(line.count('"') == 2 for line in text.splitlines()[1:])


def test_frames_have_as_many_values_as_fields_and_rows(client: FlaskClient) -> None:
    nodes, edges = json.loads(render(client, "nodegraph"))["frames"]
    for frame, rows in ((nodes, 5), (edges, 4)):
        assert frame["schema"]["meta"] == {"preferredVisualisationType": "nodeGraph"}
        assert len(frame["schema"]["fields"]) == len(frame["data"]["values"])
        assert {len(values) for values in frame["data"]["values"]} == {rows}
