"""Which service a process is: rules first, then what it says, then what it is."""

from __future__ import annotations

import pytest

from chronotope.ingest.hosts.facts import Facts
from chronotope.ingest.hosts.naming import Naming, Owner
from chronotope.schema.config.agent import ProcessRule
from chronotope.schema.config.config import load_config
from chronotope.schema.errors import InvalidConfig

OTEL = {"OTEL_SERVICE_NAME": "cart", "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=shop,service.instance.id=c-1"}


@pytest.mark.parametrize(
    ("facts", "owner"),
    [
        (Facts(environment=OTEL, unit="cart-1", program="python3"), Owner("cart", "shop", "c-1")),
        (
            Facts(environment={"OTEL_RESOURCE_ATTRIBUTES": "service.name=cart,k8s.namespace.name=prod"}),
            Owner("cart", "prod"),
        ),
        (Facts(unit="nginx", program="nginx"), Owner("nginx")),
        (Facts(program="server", container="ab" * 32), Owner("server", "", "ab" * 6)),
        (Facts(program="server", pod="8f4d"), Owner("server", "", "8f4d")),
        (Facts(), Owner("")),
    ],
)
def test_without_rules_the_process_speaks_for_itself(facts, owner):
    assert Naming().owner_of(facts) == owner


def test_the_first_rule_that_matches_decides():
    naming = Naming(
        [
            ProcessRule(match={"unit": "nginx", "env.TIER": "edge"}, service="edge-proxy"),
            ProcessRule(
                match={"executable": r".*/postgres", "command_line": r".*-D /data/(?P<name>\w+).*"},
                service="pg-{name}",
                namespace="db",
                instance="{name}",
            ),
        ]
    )
    assert "TIER" in naming.variables
    assert naming.owner_of(Facts(unit="nginx", environment={"TIER": "edge"})).service == "edge-proxy"
    assert naming.owner_of(Facts(unit="nginx", environment={"TIER": "back"})).service == "nginx"
    postgres = Facts(executable="/usr/lib/postgresql/15/bin/postgres", command_line="postgres -D /data/orders -i")
    assert naming.owner_of(postgres) == Owner("pg-orders", "db", "orders")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("agent: {rules: [{match: {colour: red}, service: x}]}", "is no fact; accepted: command_line"),
        ("agent: {rules: [{match: {unit: '['}, service: x}]}", "is no regular expression"),
        ("agent: {rules: [{match: {unit: x}, service: '{name}'}]}", r"no pattern of `match` has a group"),
        ("agent: {rules: [{match: {}, service: x}]}", "match"),
    ],
)
def test_a_wrong_rule_names_its_key(tmp_path, text, says):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InvalidConfig, match=says):
        load_config(path)
