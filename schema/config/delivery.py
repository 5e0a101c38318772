"""The section `delivery:`: who gets alerts.

Invariant: an accepted receiver has an address that can be called, and at most one way to give a secret. A secret is
never part of a message or of the reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from chronotope.schema.config.section import Duration, Section, at_key


def _base(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{value!r} is not an address; accepted: http://host:port")
    if parts.username or parts.password:
        raise ValueError("holds a password in its address; write it under `headers` or in a file")
    return value.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base)]


class Receiver(Section):
    """Someone who is told."""

    url: BaseUrl = Field(description="address")
    name: str = Field(default="", description="what the metrics call it; its host and port by default")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="more headers of each request")

    @property
    def shown(self) -> str:
        """What metrics and logs call it."""
        return self.name or urlsplit(self.url).netloc

    @property
    def sent_headers(self) -> dict[str, str]:
        """The headers with their values."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}


class AlertmanagerEntry(Receiver):
    """A Prometheus Alertmanager (API v2)."""


class WebhookEntry(Receiver):
    """An HTTP endpoint that gets each alert once when it fires and once when it is resolved."""

    secret: SecretStr | None = Field(default=None, description="key of the signature `X-Chronotope-Signature`")
    secret_file: Path | None = Field(default=None, description="file that holds the key instead")

    @model_validator(mode="after")
    def _one_secret(self) -> WebhookEntry:
        if self.secret is not None and self.secret_file is not None:
            raise at_key("secret_file", text="stands beside `secret`; write one of them")
        return self


class GrafanaEntry(Receiver):
    """A Grafana whose dashboards show alerts as annotations."""

    token: SecretStr | None = Field(default=None, description="token of a service account")
    token_file: Path | None = Field(default=None, description="file that holds the token instead")
    dashboard: str = Field(default="", description="uid of the one dashboard; all that ask for the tags by default")
    tags: list[str] = Field(default_factory=lambda: ["chronotope"], description="tags of each annotation")

    @model_validator(mode="after")
    def _one_token(self) -> GrafanaEntry:
        if self.token is not None and self.token_file is not None:
            raise at_key("token_file", text="stands beside `token`; write one of them")
        return self


class DeliverySection(Section):
    """Who is told of alerts, beside `/metrics`, `/api/v1/alerts` and `/api/v1/stream`."""

    alertmanagers: list[AlertmanagerEntry] = Field(
        default_factory=list, description="Alertmanagers; each is told everything (keys: `url`, `name`, `headers`)"
    )
    webhooks: list[WebhookEntry] = Field(
        default_factory=list,
        description="HTTP endpoints (keys: `url`, `name`, `headers`, `secret` or `secret_file`)",
    )
    grafana: list[GrafanaEntry] = Field(
        default_factory=list,
        description="Grafanas (keys: `url`, `name`, `headers`, `token` or `token_file`, `dashboard`, `tags`)",
    )
    resend: Duration = Field(
        default=60, ge=5, le=3600, description="how often an Alertmanager is told again of what still fires"
    )
    timeout: Duration = Field(default=10, ge=1, le=300, description="how long one request may take, all in all")
    give_up_after: Duration = Field(
        default=86_400, ge=60, description="age at which an undelivered notification is dropped, and counted"
    )
    external_url: str = Field(default="", description="address of this server as people reach it, for links")

    @model_validator(mode="after")
    def _names_differ(self) -> DeliverySection:
        for key in ("alertmanagers", "webhooks", "grafana"):
            receivers: list[Receiver] = getattr(self, key)
            names = [receiver.shown for receiver in receivers]
            for at, name in enumerate(names):
                if name in names[:at]:
                    raise at_key(key, at, text=f"{name!r} is an earlier one too; give it a `name` of its own")
        return self
