"""Turn the peers that spans name into nodes of the graph.

Invariant: each row's hint becomes one node code, or -1, by the hint, the row's kind and the owner of the hint's address
at the span's start, and by nothing else. A service that is named wins over an address. An address that a service owns
is that service. A caller is never an unowned address; a callee may be (kind `external`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chronotope.ingest.columns.codes import distinct_codes
from chronotope.ingest.identity.owners import Identities, Service
from chronotope.ingest.spans.columns import CONSUMER, SERVER, Node, PeerHint, SpanBatch, Vocabulary
from chronotope.schema.names import service_id

_ASK_OWNER = -2


def resolve_peers(batch: SpanBatch, vocabulary: Vocabulary, identities: Identities, aliases: Mapping[str, str]) -> None:
    """Replace hint codes in `rows["peer"]` by node codes, in place, and apply aliases to both ends.

    Args:
        aliases: node id → the id that it shall have instead; applied once, not repeatedly. Kinds stay.
    """
    rows = batch.rows
    if aliases:
        rows["service"] = _aliased(rows["service"], vocabulary, aliases)
    hinted = np.flatnonzero(rows["peer"] >= 0)
    kind = rows["kind"][hinted]
    caller = (kind == SERVER) | (kind == CONSUMER)
    # The end is part of the key: an address alone names a callee, but not a caller.
    distinct, inverse = distinct_codes(rows["peer"][hinted].astype(np.int64) * 2 + caller)
    hints = [vocabulary.hints[code >> 1] for code in distinct.tolist()]
    said = [_said(hint, bool(code & 1)) for hint, code in zip(hints, distinct.tolist(), strict=True)]
    peer = np.array([_node_code(node, vocabulary, aliases) for node in said], np.int32)
    peer[np.array([_needs_owner(*asked) for asked in zip(hints, said, strict=True)], np.bool_)] = _ASK_OWNER
    found = peer[inverse]
    asking = np.flatnonzero(found == _ASK_OWNER)
    if len(asking):
        which = inverse[asking]
        owner = _owner(hints, which, rows["start_ns"][hinted[asking]], identities)
        found[asking] = _owned_codes(hints, said, which, owner, vocabulary, identities, aliases)
    rows["peer"][hinted] = found
    _name_selves(rows, vocabulary)


def _said(hint: PeerHint, caller: bool) -> Node | None:
    """Return the node that a hint names without asking who owns its address; None when it names none."""
    if hint.kind == "messaging" and (hint.name or hint.system):
        return Node(service_id(hint.name, hint.system) or hint.system, "messaging")
    kind = "database" if hint.kind == "database" else "service"
    if hint.service:
        return Node(hint.service, kind)
    if caller:
        return None
    if kind == "database":
        named = f"{hint.name}@{hint.address}" if hint.name and hint.address else ""
        node = named or hint.address or hint.system or hint.name
        return Node(node, "database") if node else None
    return Node(hint.address, "external") if hint.address else None


def _needs_owner(hint: PeerHint, said: Node | None) -> bool:
    return bool(hint.address) and not hint.service and (said is None or said.kind != "messaging")


def _owner(hints: list[PeerHint], which: np.ndarray, start_ns: np.ndarray, identities: Identities) -> np.ndarray:
    """Return who owned the address of hint `which` at each start, int32[N]."""
    ports = np.array([hint.port for hint in hints], np.int64)[which]
    addresses = [hint.address for hint in hints]
    return identities.owners(addresses, ports, start_ns // 1_000_000, which).service


def _owned_codes(
    hints: list[PeerHint],
    said: list[Node | None],
    which: np.ndarray,
    owner: np.ndarray,
    vocabulary: Vocabulary,
    identities: Identities,
    aliases: Mapping[str, str],
) -> np.ndarray:
    """Return node codes where the owner decides; without one, the hint's own node stands."""
    owners = len(identities.services) + 1
    distinct, inverse = distinct_codes(which * owners + owner + 1)
    pairs = (divmod(pair, owners) for pair in distinct.tolist())
    nodes = (_owned(hints[h], identities.services[o - 1]) if o else said[h] for h, o in pairs)
    codes: np.ndarray = np.array([_node_code(node, vocabulary, aliases) for node in nodes], np.int32)[inverse]
    return codes


def _owned(hint: PeerHint, service: Service) -> Node:
    return Node(service.id, "database" if hint.kind == "database" else service.kind)


def _node_code(node: Node | None, vocabulary: Vocabulary, aliases: Mapping[str, str]) -> int:
    if node is None:
        return -1
    return vocabulary.nodes.code(Node(aliases.get(node.id, node.id), node.kind))


def _aliased(codes: np.ndarray, vocabulary: Vocabulary, aliases: Mapping[str, str]) -> np.ndarray:
    distinct, inverse = distinct_codes(codes.astype(np.int64) + 1)
    nodes = [vocabulary.nodes[code - 1] if code else None for code in distinct.tolist()]
    renamed: np.ndarray = np.array([_node_code(node, vocabulary, aliases) for node in nodes], np.int32)[inverse]
    return renamed


def _name_selves(rows: np.ndarray, vocabulary: Vocabulary) -> None:
    """A peer with the span's own service id is that service, whatever kind it was said to be: no edge then."""
    service_ids, peer_ids = _id_codes((rows["service"], rows["peer"]), vocabulary)
    same = np.flatnonzero((service_ids >= 0) & (service_ids == peer_ids))
    rows["peer"][same] = rows["service"][same]


def _id_codes(ends: tuple[np.ndarray, np.ndarray], vocabulary: Vocabulary) -> list[np.ndarray]:
    """Return codes of the ids, whatever their kinds, of two columns of nodes; -1 where there is none."""
    ids: dict[str, int] = {}
    found = []
    for codes in ends:
        distinct, inverse = distinct_codes(codes.astype(np.int64) + 1)
        nodes = (vocabulary.nodes[code - 1] if code else None for code in distinct.tolist())
        id_codes = [-1 if node is None else ids.setdefault(node.id, len(ids)) for node in nodes]
        found.append(np.array(id_codes, np.int64)[inverse])
    return found
