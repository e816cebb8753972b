"""The database's schema, as the migrations make it in an empty database."""

from __future__ import annotations

import re

from sqlite_utils import Database

from segr1_app.store.migrations import migrations


def tables() -> str:
    """Every table with its columns and what they refer to; then indexes and triggers by name."""
    db = Database(memory=True)
    migrations.apply(db)
    names = sorted(name for name in db.table_names() if not name.startswith(("sqlite_", "_sqlite_")))
    steps = [step.name for step in migrations.applied(db)]
    parts = [f"The schema after {len(steps)} steps, of which the last is `{steps[-1]}`."]
    for name in names:
        refers = {key.column: f"{key.other_table}.{key.other_column}" for key in db[name].foreign_keys}
        rows = [
            f"| `{column.name}` | {column.type} | {'key' if column.is_pk else 'required' if column.notnull else ''} "
            f"| {f'`{refers[column.name]}`' if column.name in refers else ''} |"
            for column in db[name].columns
        ]
        parts.append("\n".join([f"### `{name}`", "", "| column | type | | refers to |", "|---|---|---|---|", *rows]))
    for kind in ("index", "trigger"):
        sql = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL ORDER BY name"
        listed = [f"- `{name}`: {_short(text)}" for name, _, text in db.execute(sql, [kind]).fetchall()]
        parts.append("\n".join([f"### {'Indexes' if kind == 'index' else 'Triggers'}", "", *listed]))
    return "\n\n".join(parts)


def _short(sql: str) -> str:
    """What follows the name in a statement, in one line."""
    return f"`{re.sub(r'^CREATE (UNIQUE )?(INDEX|TRIGGER) [a-z_]+ ', '', ' '.join(sql.split()))}`"
