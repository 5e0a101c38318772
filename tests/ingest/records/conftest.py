"""The route of observations, over a store and over none."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from tests.ingest.records.posting import client_of

from chronotope.schema.storage.location import parse_store_url
from chronotope.schema.storage.store import Store


@pytest.fixture
def client(store: Store) -> FlaskClient:
    return client_of(store)


@pytest.fixture
def refusing() -> FlaskClient:
    """A client for what never reaches the store: this one is not opened."""
    return client_of(Store(parse_store_url("chdb://memory")))
