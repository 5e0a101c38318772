"""The section `intermediaries`: what is accepted, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronotope.schema.config.config import load_config
from chronotope.schema.errors import InvalidConfig


def load(folder: Path, text: str):  # type: ignore[no-untyped-def]
    file = folder / "c.yaml"
    file.write_text(text)
    return load_config(file).intermediaries


def test_service_address_and_listener_name_an_intermediary(tmp_path: Path) -> None:
    service, network, listener, six = load(
        tmp_path,
        "intermediaries:\n"
        "- {service: lb, namespace: edge, kind: balancer}\n"
        "- {address: 10.0.0.0/24}\n"
        '- {service: lb, listener: "10.0.0.5:8080", targets: [shop/orders]}\n'
        '- {listener: "[fd00::5]:443"}\n',
    )
    assert (service.service_id, service.place, service.port) == ("edge/lb", "", 0)
    assert (network.service_id, network.place) == ("", "10.0.0.0/24")
    assert (listener.place, listener.port, listener.targets) == ("10.0.0.5", 8080, ["shop/orders"])
    assert (six.place, six.port) == ("fd00::5", 443)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{kind: proxy}", "name the intermediary by `service`, `address` or `listener`"),
        ("{address: 10.0.0.5, listener: '10.0.0.5:80'}", "write `address` or `listener`, not both"),
        ("{listener: '10.0.0.5'}", "write address:port"),
        ("{listener: '10.0.0.5:99999'}", "write address:port"),
        ("{address: 10.0.0.0/99}", "is not a network"),
        ("{service: lb, targets: ['']}", "write service ids"),
        ("{service: lb, kind: router}", "accepted: balancer, proxy, gateway or nat"),
        ("{services: lb}", "services"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        load(tmp_path, f"intermediaries:\n- {entry}\n")
    assert words in str(refused.value)
    assert "c.yaml:2" in str(refused.value)
