"""The yardstick: the same bans, without log lines, in one table of DuckDB. Only benchmarks need that package.

python -m bench.proof.duck load SPOOL DATABASE
python -m bench.proof.duck ask DATABASE WORDS...

WORDS are those of a `top`, `bans` or `report`. As many threads as there are CPUs.
"""

import csv
import ipaddress
import sys
import tempfile
from pathlib import Path

import duckdb

COLUMNS = {
    "id": "VARCHAR", "ip": "VARCHAR", "number": "UBIGINT", "server": "VARCHAR", "jail": "VARCHAR", "country": "VARCHAR",
    "day": "DATE", "hour": "UTINYINT", "users": "VARCHAR", "time": "DOUBLE",
}  # fmt: skip
"""Columns of the file that it is filled from. `number`: the IPv4 address as a number, empty for others."""


def load(spool: Path, database: Path) -> None:
    """Make the table of the bans of a spool."""
    from bench.proof.rows import rows

    with tempfile.NamedTemporaryFile("w", suffix=".csv", dir=database.parent, newline="") as text:
        writer = csv.writer(text)
        for row in rows(spool):
            number = "" if ":" in row.ip else int(ipaddress.IPv4Address(row.ip))
            named = " ".join(row.users)
            writer.writerow(
                (row.id, row.ip, number, row.server, row.jail, row.country, row.day, row.hour, named, row.time)
            )
        text.flush()
        with duckdb.connect(str(database)) as db:
            db.execute(
                "CREATE TABLE ban AS SELECT * REPLACE (string_split(users, ' ') AS users) "
                f"FROM read_csv('{text.name}', header = false, columns = {COLUMNS})"
            )


def ask(database: Path, words: list[str]) -> None:
    """Print the answer to a question."""
    kind, *rest = words
    dimension = rest.pop(0) if kind == "top" else ""
    asked: dict[str, list[str]] = {}
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        asked.setdefault(name, []).append(value)
    where = _where(asked)
    with duckdb.connect(str(database), read_only=True) as db:
        for query in _queries(kind, dimension, where, int(asked.get("-n", ["20"])[0])):
            print(db.execute(query).fetchall())


def _where(asked: dict[str, list[str]]) -> str:
    """Return the condition of the filters."""
    found = ["true"]
    for option, values in asked.items():
        texts = ", ".join(f"'{value}'" for value in values)
        match option:
            case "--user":
                found.append(f"list_has_any(users, [{texts}])")
            case "--ip":
                blocks = [ipaddress.IPv4Network(value) for value in values]
                inside = [f"number BETWEEN {int(block[0])} AND {int(block[-1])}" for block in blocks]
                found.append(f"({' OR '.join(inside)})")
            case "--since" | "--until":
                if values != ["all"]:
                    found.append(f"day {'>=' if option == '--since' else '<='} {texts}")
            case "-n":
                pass
            case _:
                found.append(f"{option.removeprefix('--')} IN ({texts})")
    return " AND ".join(found)


def _queries(kind: str, dimension: str, where: str, count: int) -> list[str]:
    if kind == "bans":
        return [f"SELECT * FROM ban WHERE {where} ORDER BY time DESC LIMIT {count}"]
    names = [dimension] if dimension else ["day", "country", "ip", "jail", "server", "user", "hour"]
    tops = [
        f"SELECT {'unnest(users)' if name == 'user' else name} AS value, count(*) AS bans FROM ban WHERE {where} "
        f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {count}"
        for name in names
    ]
    if kind == "report":
        tops.append(f"SELECT count(*), count(DISTINCT ip) FROM ban WHERE {where}")
        tops.append(f"SELECT day, count(DISTINCT ip) FROM ban WHERE {where} GROUP BY 1")
    return tops


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        ask(Path(sys.argv[2]), sys.argv[3:])
