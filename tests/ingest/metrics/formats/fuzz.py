"""Read broken expositions and answers: `NUMBA_BOUNDSCHECK=1 python -m tests.ingest.metrics.formats.fuzz SEED ROUNDS`.

Under numba's bounds checks a read outside an array raises IndexError, which ends this with a traceback.
"""

from __future__ import annotations

import random
import sys

from chronotope.ingest.metrics.counters.columns import SeriesTable
from chronotope.ingest.metrics.counters.increases import Counters
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.formats.prometheus_json import parse_query_answer
from chronotope.ingest.metrics.sources.replicas import Replicas
from chronotope.schema.errors import InvalidPayload

TEXT = (
    b'# TYPE a counter\na_total{x="y\\n",z="\xc3\xbc"} 1.5e3 17\n{"q.r",s="t"} NaN # {a="b"} 1 2\n'
    b"a_created 12345678901234567890.5 1.5\n\nb -Infinity\nc{} +.5E-7 1700000000.123456789012345\n# EOF\n"
)
JSON = (
    b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b","replica":"1"},'
    b'"values":[[1.5,"2"],[ 3 , "-Inf" ]\n,[4,"12345678901234567890.1e-7"]]},{"value":[1,"2"]}]}}'
)
PIECES = [
    *(bytes([n]) for n in range(256)),
    b"\n",
    b'"',
    b"\\",
    b"{",
    b"}",
    b" ",
    b"# ",
    b"1e",
    b"[[",
    b'",',
    b"inf",
    b"0" * 40,
]


def broken(source: random.Random, text: bytes) -> bytes:
    """Return a text with up to eight places cut, replaced or repeated."""
    body = bytearray(text)
    for _ in range(source.randrange(9)):
        place = source.randrange(len(body) + 1)
        body[place : place + source.choice([0, 0, 1, 1, 2, 20])] = source.choice(PIECES)
    return bytes(body[: source.choice([len(body), len(body), source.randrange(len(body) + 1)])])


def main(seed: int, rounds: int) -> None:
    """Print how many were read and how many refused."""
    source, read, refused = random.Random(seed), 0, 0
    for number in range(rounds):
        if number % 50 == 0:
            table = SeriesTable(max_series=20)
            parser = ExpositionParser(table, max_series=source.choice([1, 5, 300]), max_line_bytes=200)
            counters, replicas = Counters(table), Replicas(table, "replica")
        try:
            if number % 2:
                samples = parse_query_answer(broken(source, JSON), table)
            else:
                choices = [source.random() < 0.5, source.random() < 0.5]
                samples = parser.parse(broken(source, TEXT), number, openmetrics=choices[0], complete=choices[1])
        except InvalidPayload:
            refused += 1
            continue
        counters.add(replicas.deduplicate(samples))
        read += 1
    print(read, refused)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
