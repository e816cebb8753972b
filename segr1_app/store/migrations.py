"""The database's schema as migrations. A released migration is never edited: a new one follows it.

Revisions, predictions and choices are append-only. Tasks, heads, tallies and agreements are derived from them and
updated in the same transaction, so that no query needs to read a million rows; `verify` recomputes them.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from segr1_app.store.rows import truth_hash

migrations = Migrations("segr1_app.store")

_APPEND_ONLY = ("revisions", "predictions", "choices")


@migrations()
def m001_annotations(db: Database) -> None:
    """Pictures, tasks, predictions, revisions and derived tables."""
    for statement in _TABLES:
        db.execute(statement)
    for table in _APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} are only ever added'); END"
            )


@migrations()
def m002_reviews(db: Database) -> None:
    """Indices for the review list: for everybody, and per person."""
    db.execute("CREATE INDEX tasks_current ON tasks (current) WHERE current IS NOT NULL")
    db.execute("CREATE INDEX heads_annotator ON heads (annotator, revision)")


@migrations()
def m003_journal(db: Database) -> None:
    """The order in which records were added, and how much of it remotes have; see `journal`."""
    # AUTOINCREMENT: a number that a remote has seen is never reused.
    db.execute(
        """CREATE TABLE journal (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            row INTEGER NOT NULL,
            was TEXT,
            at REAL NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0),
            origin TEXT
        ) STRICT"""
    )
    db.execute("CREATE INDEX journal_renamed ON journal (number) WHERE was IS NOT NULL")
    for table in ("predictions", "revisions"):
        db.execute(f"CREATE INDEX {table}_content ON {table} (content_hash)")
    db.execute("CREATE TABLE remotes (name TEXT PRIMARY KEY, pushed INTEGER NOT NULL, synced_at REAL) STRICT")
    db.execute(
        """CREATE TABLE taken (
            remote TEXT NOT NULL,
            file TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            PRIMARY KEY (remote, file)
        ) STRICT, WITHOUT ROWID"""
    )
    for table in ("pictures", "ground_truths", "tasks", "predictions", "revisions", "choices"):
        db.execute(f"INSERT INTO journal (kind, row) SELECT '{table}', rowid FROM {table} ORDER BY rowid")
        db.execute(
            f"CREATE TRIGGER {table}_journal AFTER INSERT ON {table} "
            f"BEGIN INSERT INTO journal (kind, row) VALUES ('{table}', new.rowid); END"
        )
    db.execute(
        "CREATE TRIGGER tasks_renamed AFTER UPDATE OF instruction ON tasks WHEN old.instruction != new.instruction "
        "BEGIN INSERT INTO journal (kind, row, was) VALUES ('tasks', new.rowid, old.instruction); END"
    )
    db.execute(
        "CREATE TRIGGER ground_truths_replaced AFTER UPDATE OF mask ON ground_truths WHEN old.mask != new.mask "
        "BEGIN INSERT INTO journal (kind, row) VALUES ('ground_truths', new.rowid); END"
    )


@migrations()
def m004_verdicts(db: Database) -> None:
    """Indices for the review list filtered by verdict."""
    db.execute("CREATE INDEX revisions_verdict ON revisions (verdict)")
    db.execute("CREATE INDEX heads_verdict ON heads (annotator, verdict, revision)")


@migrations()
def m005_digests_of_truths(db: Database) -> None:
    """A digest of each ground truth, as for predictions and revisions."""
    db.execute("ALTER TABLE ground_truths ADD COLUMN content_hash TEXT")
    db.register_function(truth_hash)
    db.execute("UPDATE ground_truths SET content_hash = truth_hash(picture, instruction, mask)")


@migrations()
def m006_decisions_are_about_words(db: Database) -> None:
    """Decisions about an earlier instruction of a task no longer count, and are not compared with later masks."""
    db.execute(
        """UPDATE tasks SET current = coalesce(
            (SELECT choices.revision FROM choices LEFT JOIN revisions ON revisions.id = choices.revision
                WHERE choices.task = tasks.id
                AND (choices.revision IS NULL OR revisions.instruction = tasks.instruction)
                ORDER BY choices.id DESC LIMIT 1),
            (SELECT max(id) FROM (
                SELECT max(id) AS id, verdict FROM revisions
                WHERE task = tasks.id AND instruction = tasks.instruction GROUP BY annotator
            ) WHERE verdict != 'skip')
        ) WHERE id IN (
            SELECT r.task FROM revisions AS r JOIN tasks AS t ON t.id = r.task WHERE r.instruction != t.instruction)"""
    )
    words = (
        "(SELECT revisions.instruction FROM heads JOIN revisions ON revisions.id = heads.revision "
        "WHERE heads.task = agreements.task AND heads.annotator = agreements.{})"
    )
    db.execute(f"DELETE FROM agreements WHERE {words.format('first')} != {words.format('second')}")


@migrations()
def m007_bounded_tallies(db: Database) -> None:
    """If any revision has numbers out of bounds, everything is counted again with these clipped."""
    out_of_bounds = db.execute(
        "SELECT 1 FROM revisions WHERE clicks NOT BETWEEN 0 AND 1000000 OR seconds NOT BETWEEN 0 AND 2678400 "
        "OR created_at NOT BETWEEN 0 AND 253402300799 OR policy_iou NOT BETWEEN 0 AND 1 LIMIT 1"
    ).fetchone()
    if out_of_bounds is None:
        return
    db.execute("DELETE FROM tallies")
    db.execute(
        """INSERT INTO tallies
        SELECT r.annotator, ifnull(p.policy_id, ''), ifnull(p.checkpoint_hash, ''),
            date(CAST(min(max(r.created_at, 0), 253402300799) AS INTEGER), 'unixepoch'), r.verdict,
            count(heads.revision), count(*), sum(min(max(r.clicks, 0), 1000000)),
            sum(min(max(r.seconds, 0.0), 2678400.0)),
            count(compared.id), total(1 - min(max(compared.policy_iou, 0), 1))
        FROM revisions AS r
        LEFT JOIN predictions AS p ON p.id = r.prediction
        LEFT JOIN heads ON heads.task = r.task AND heads.annotator = r.annotator AND heads.revision = r.id
        LEFT JOIN revisions AS compared ON compared.id = heads.revision
            AND compared.verdict IN ('accept', 'fix') AND compared.policy_iou IS NOT NULL
        GROUP BY 1, 2, 3, 4, 5"""
    )


@migrations()
def m008_class_numbers(db: Database) -> None:
    """A number for each class that was ever exported, so that it has the same one in the next export."""
    db.execute("CREATE TABLE IF NOT EXISTS classes (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT")


@migrations()
def m009_originals(db: Database) -> None:
    """The file name of a picture's original; older pictures are PNGs named by the picture's digest."""
    db.execute("ALTER TABLE pictures ADD COLUMN original TEXT")


@migrations()
def m010_class_list(db: Database) -> None:
    """The list of classes, beside those that only have a number from an earlier export."""
    for column in (
        "listed INTEGER NOT NULL DEFAULT 0",
        "colour TEXT",
        "key INTEGER",
        "parent TEXT",
        "description TEXT NOT NULL DEFAULT ''",
        "attributes TEXT NOT NULL DEFAULT '[]'",
    ):
        db.execute(f"ALTER TABLE classes ADD COLUMN {column}")
    db.execute("CREATE UNIQUE INDEX classes_key ON classes (key) WHERE key IS NOT NULL")


_TABLES = (
    """CREATE TABLE pictures (
        sha256 TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        added_at REAL NOT NULL
    ) STRICT""",
    # A mask is the ground truth of a picture under one instruction only: a changed instruction has none.
    """CREATE TABLE ground_truths (
        picture TEXT NOT NULL REFERENCES pictures(sha256),
        instruction TEXT NOT NULL,
        mask TEXT NOT NULL,
        PRIMARY KEY (picture, instruction)
    ) STRICT""",
    """CREATE TABLE tasks (
        id INTEGER PRIMARY KEY,
        picture TEXT NOT NULL REFERENCES pictures(sha256),
        instruction TEXT NOT NULL,
        created_at REAL NOT NULL,
        prediction INTEGER REFERENCES predictions(id),
        confidence REAL,
        disagreement REAL,
        current INTEGER REFERENCES revisions(id),
        UNIQUE (picture, instruction)
    ) STRICT""",
    "CREATE INDEX queue_imported ON tasks (id) WHERE current IS NULL",
    "CREATE INDEX queue_confidence ON tasks (confidence IS NULL, confidence, id) WHERE current IS NULL",
    "CREATE INDEX queue_disagreement ON tasks (disagreement DESC, id) WHERE current IS NULL",
    """CREATE TABLE predictions (
        id INTEGER PRIMARY KEY,
        task INTEGER NOT NULL REFERENCES tasks(id),
        instruction TEXT NOT NULL,
        created_at REAL NOT NULL,
        policy_id TEXT NOT NULL,
        segmenter_id TEXT NOT NULL,
        checkpoint_hash TEXT NOT NULL,
        completion TEXT NOT NULL,
        reasoning TEXT,
        well_formed INTEGER NOT NULL,
        problems TEXT NOT NULL,
        policy_width INTEGER NOT NULL,
        policy_height INTEGER NOT NULL,
        objects TEXT NOT NULL,
        mask TEXT NOT NULL,
        seconds TEXT NOT NULL,
        confidence REAL NOT NULL,
        disagreement REAL,
        samples TEXT NOT NULL,
        content_hash TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX predictions_task ON predictions (task)",
    """CREATE TABLE revisions (
        id INTEGER PRIMARY KEY,
        task INTEGER NOT NULL REFERENCES tasks(id),
        instruction TEXT NOT NULL,
        annotator TEXT NOT NULL,
        parent INTEGER REFERENCES revisions(id),
        origin INTEGER REFERENCES revisions(id),
        prediction INTEGER REFERENCES predictions(id),
        verdict TEXT NOT NULL CHECK (verdict IN ('accept', 'fix', 'reject', 'skip')),
        reason TEXT CHECK ((reason IS NOT NULL) = (verdict = 'reject')),
        comment TEXT NOT NULL,
        seconds REAL NOT NULL,
        clicks INTEGER NOT NULL,
        objects TEXT NOT NULL,
        mask TEXT NOT NULL,
        change TEXT NOT NULL,
        policy_iou REAL,
        blame TEXT,
        created_at REAL NOT NULL,
        content_hash TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX revisions_task ON revisions (task)",
    # A second safeguard against two saves on one parent: the first of an annotator, and each follow-up, is unique.
    "CREATE UNIQUE INDEX revisions_line ON revisions (task, annotator, ifnull(parent, 0))",
    """CREATE TABLE heads (
        task INTEGER NOT NULL REFERENCES tasks(id),
        annotator TEXT NOT NULL,
        revision INTEGER NOT NULL REFERENCES revisions(id),
        verdict TEXT NOT NULL,
        PRIMARY KEY (task, annotator)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE choices (
        id INTEGER PRIMARY KEY,
        task INTEGER NOT NULL REFERENCES tasks(id),
        revision INTEGER REFERENCES revisions(id),
        reviewer TEXT NOT NULL,
        created_at REAL NOT NULL
    ) STRICT""",
    "CREATE INDEX choices_task ON choices (task)",
    """CREATE TABLE agreements (
        task INTEGER NOT NULL REFERENCES tasks(id),
        first TEXT NOT NULL,
        second TEXT NOT NULL,
        iou REAL NOT NULL,
        PRIMARY KEY (task, first, second)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE tallies (
        annotator TEXT NOT NULL,
        policy_id TEXT NOT NULL,
        checkpoint_hash TEXT NOT NULL,
        day TEXT NOT NULL,
        verdict TEXT NOT NULL,
        latest INTEGER NOT NULL DEFAULT 0,
        revisions INTEGER NOT NULL DEFAULT 0,
        clicks INTEGER NOT NULL DEFAULT 0,
        seconds REAL NOT NULL DEFAULT 0,
        compared INTEGER NOT NULL DEFAULT 0,
        iou_gained REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (annotator, policy_id, checkpoint_hash, day, verdict)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE leases (
        task INTEGER PRIMARY KEY REFERENCES tasks(id),
        annotator TEXT NOT NULL UNIQUE,
        expires_at REAL NOT NULL
    ) STRICT""",
    """CREATE TABLE drafts (
        task INTEGER NOT NULL REFERENCES tasks(id),
        annotator TEXT NOT NULL,
        content TEXT NOT NULL,
        saved_at REAL NOT NULL,
        PRIMARY KEY (task, annotator)
    ) STRICT, WITHOUT ROWID""",
)
