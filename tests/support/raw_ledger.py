"""An embedded ledger's file as another program sees it, with functions for what its rows hold.

packed(id)      an id as members and items have it, 12 bytes
json_of(row)    the hash in an item's row, as JSON
row_of(json)    the row of a hash that is given as JSON
"""

import json
import sqlite3
from pathlib import Path

from banledger.stores.sqlite.ids import pack_id
from banledger.stores.sqlite.packed_hash import pack_hash, unpack_hash


def open_raw(path: Path) -> sqlite3.Connection:
    """Open the file to write anything into it; each statement is committed."""
    database = sqlite3.connect(path, isolation_level=None)
    database.create_function("packed", 1, pack_id)
    database.create_function("json_of", 1, lambda row: json.dumps(unpack_hash(row), separators=(",", ":")))
    database.create_function("row_of", 1, lambda text: pack_hash(json.loads(text)))
    return database
