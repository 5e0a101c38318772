"""What /proc says, read from real forms of it and from any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.ingest.hosts.facts import (
    parse_arguments,
    parse_cgroup,
    parse_environment,
    parse_resource_attributes,
    parse_start_ticks,
    program_of,
)

CONTAINER = "3f1c" * 16
POD = "8f4d2c10-9a1b-4c3d-8e5f-0123456789ab"


@pytest.mark.parametrize(
    ("text", "container", "pod", "unit"),
    [
        (f"0::/system.slice/docker-{CONTAINER}.scope", CONTAINER, "", ""),
        (f"12:memory:/docker/{CONTAINER}\n1:name=systemd:/docker/{CONTAINER}", CONTAINER, "", ""),
        (
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice/"
            f"cri-containerd-{CONTAINER}.scope",
            CONTAINER, POD, "",
        ),
        (f"0::/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/crio-{CONTAINER}.scope", CONTAINER, POD, ""),
        (f"9:cpu:/kubepods/besteffort/pod{POD}/{CONTAINER}", CONTAINER, POD, ""),
        (f"0::/kubelet/pod{POD}/cri-containerd:{CONTAINER}", CONTAINER, POD, ""),
        (f"0::/system.slice/containerd.service/kubepods-pod{POD}.slice:cri-containerd:{CONTAINER}", CONTAINER, "", ""),
        (f"0::/libpod_parent/libpod-{CONTAINER}", CONTAINER, "", ""),
        ("0::/system.slice/postgresql@15-main.service", "", "", "postgresql@15-main"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/worker.service", "", "", "worker"),
        ("0::/user.slice/user-1000.slice/session-3.scope", "", "", ""),
        ("0::/", "", "", ""),
        ("", "", "", ""),
    ],
)  # fmt: skip
def test_containers_pods_and_units_are_found(text, container, pod, unit):
    assert parse_cgroup(text.encode())[1:] == (container, pod, unit)


@pytest.mark.parametrize(
    ("arguments", "executable", "program"),
    [
        (["/usr/sbin/nginx", "-g", "daemon off;"], "/usr/sbin/nginx", "nginx"),
        (["python", "-u", "/srv/orders.py", "--port", "80"], "/usr/bin/python3.11", "orders"),
        (["python", "-W", "ignore", "-m", "shop.cart"], "/usr/bin/python3.11", "shop.cart"),
        (["python", "-c", "import time"], "/usr/bin/python3.11", "python3.11"),
        (["java", "-Xmx1g", "-cp", "a.jar:b.jar", "com.shop.Main"], "/usr/bin/java", "com.shop.Main"),
        (["java", "-jar", "/srv/payment.jar"], "/usr/bin/java", "payment"),
        (["node", "/srv/server.mjs"], "/usr/bin/node", "server"),
        (["redis-server *:6379"], "", "redis-server *:6379"),
        ([], "", ""),
    ],
)
def test_a_program_is_what_runs_not_what_runs_it(arguments, executable, program):
    assert program_of(arguments, executable) == program


def test_the_environment_of_opentelemetry_is_read():
    data = b"PATH=/bin\0OTEL_SERVICE_NAME=cart\0X\0OTEL_RESOURCE_ATTRIBUTES=a=b,service.namespace=my%20shop\0"
    found = parse_environment(data, {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"})
    assert found["OTEL_SERVICE_NAME"] == "cart"
    assert parse_resource_attributes(found["OTEL_RESOURCE_ATTRIBUTES"]) == {"a": "b", "service.namespace": "my shop"}


def test_a_name_with_blanks_and_parentheses_hides_no_start():
    fields = " ".join(str(number) for number in range(4, 60))
    assert parse_start_ticks(f"7 (a) R 1) S {fields}".encode()) == 22


@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer(data):
    parse_cgroup(data)
    environment = parse_environment(data + b"\0A=\xff\xfe", {"A"})
    assert environment.get("A") is not None
    parse_resource_attributes(data.decode("latin-1"))
    program_of(parse_arguments(data), "")
    assert parse_start_ticks(data) >= -1
