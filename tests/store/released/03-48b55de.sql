BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'segr1_app.store','m001_annotations','2026-11-30 14:58:34.647034+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'segr1_app.store','m002_reviews','2026-11-30 14:58:34.647511+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'segr1_app.store','m003_journal','2026-11-30 14:58:34.669083+00:00');
CREATE TABLE agreements (
        task INTEGER NOT NULL REFERENCES tasks(id),
        first TEXT NOT NULL,
        second TEXT NOT NULL,
        iou REAL NOT NULL,
        PRIMARY KEY (task, first, second)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "agreements" VALUES(1,'ann','ben',0.9);
CREATE TABLE choices (
        id INTEGER PRIMARY KEY,
        task INTEGER NOT NULL REFERENCES tasks(id),
        revision INTEGER REFERENCES revisions(id),
        reviewer TEXT NOT NULL,
        created_at REAL NOT NULL
    ) STRICT;
INSERT INTO "choices" VALUES(1,1,2,'rev',1700000540.0);
CREATE TABLE drafts (
        task INTEGER NOT NULL REFERENCES tasks(id),
        annotator TEXT NOT NULL,
        content TEXT NOT NULL,
        saved_at REAL NOT NULL,
        PRIMARY KEY (task, annotator)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE ground_truths (
        picture TEXT NOT NULL REFERENCES pictures(sha256),
        instruction TEXT NOT NULL,
        mask TEXT NOT NULL,
        PRIMARY KEY (picture, instruction)
    ) STRICT;
INSERT INTO "ground_truths" VALUES('3d2460c256c414673a25870a3d6d6561a903d47e26da5c46181489bfe688b45e','the cat','{"counts":"P5:d000000000000000000000000000000000000f>","size":[30,40]}');
CREATE TABLE heads (
        task INTEGER NOT NULL REFERENCES tasks(id),
        annotator TEXT NOT NULL,
        revision INTEGER NOT NULL REFERENCES revisions(id),
        verdict TEXT NOT NULL,
        PRIMARY KEY (task, annotator)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "heads" VALUES(1,'ann',2,'fix');
INSERT INTO "heads" VALUES(1,'ben',3,'fix');
INSERT INTO "heads" VALUES(2,'ben',4,'reject');
CREATE TABLE journal (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            row INTEGER NOT NULL,
            was TEXT,
            at REAL NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400.0),
            origin TEXT
        ) STRICT;
INSERT INTO "journal" VALUES(1,'pictures',1,NULL,1.79605071474498057364e+09,NULL);
INSERT INTO "journal" VALUES(2,'tasks',1,NULL,1.79605071474900388718e+09,NULL);
INSERT INTO "journal" VALUES(3,'ground_truths',1,NULL,1.79605071474900388718e+09,NULL);
INSERT INTO "journal" VALUES(4,'tasks',2,NULL,1.79605071476099348065e+09,NULL);
INSERT INTO "journal" VALUES(5,'predictions',1,NULL,1.79605071477499461177e+09,NULL);
INSERT INTO "journal" VALUES(6,'revisions',1,NULL,1.79605071683601737022e+09,NULL);
INSERT INTO "journal" VALUES(7,'revisions',2,NULL,1.79605071685400152206e+09,NULL);
INSERT INTO "journal" VALUES(8,'revisions',3,NULL,1.79605071686100220681e+09,NULL);
INSERT INTO "journal" VALUES(9,'revisions',4,NULL,1.79605071687299156185e+09,NULL);
INSERT INTO "journal" VALUES(10,'choices',1,NULL,1.79605071688900446887e+09,NULL);
CREATE TABLE leases (
        task INTEGER PRIMARY KEY REFERENCES tasks(id),
        annotator TEXT NOT NULL UNIQUE,
        expires_at REAL NOT NULL
    ) STRICT;
CREATE TABLE pictures (
        sha256 TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        added_at REAL NOT NULL
    ) STRICT;
INSERT INTO "pictures" VALUES('3d2460c256c414673a25870a3d6d6561a903d47e26da5c46181489bfe688b45e','photo.jpg',40,30,1700000060.0);
CREATE TABLE predictions (
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
    ) STRICT;
INSERT INTO "predictions" VALUES(1,1,'the cat',1700000240.0,'policy','segmenter','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','<think> a cat </think> <bbox>[5,10,25,20]</bbox>','a cat',0,'["<points> is missing"]',56,28,'[{"box":[5,10,25,20],"confidence":0.9,"mask":{"counts":"P5:d00000000000000000000000000000000000000h=","size":[30,40]},"name":"cat","points":[[7.125,12,1],[1,1,0],[20,18,1]]}]','{"counts":"P5:d00000000000000000000000000000000000000h=","size":[30,40]}','{"policy":0.5}',0.9,NULL,'[]','17ccd780698667194291f003a6323b85f8590efbe9e51f46d25937b7b9533c84');
CREATE TABLE remotes (name TEXT PRIMARY KEY, pushed INTEGER NOT NULL, synced_at REAL) STRICT;
CREATE TABLE revisions (
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
    ) STRICT;
INSERT INTO "revisions" VALUES(1,1,'the cat','ann',NULL,NULL,1,'fix',NULL,'',8.0,3,'[{"box":[5,10,25,20],"erased":null,"name":"cat","painted":null,"points":[[7.125,12,1],[1,1,0],[20,18,1]],"refined_from":null,"segmented":{"counts":"P59e00000000000000000000000000000000000000h=","size":[30,40]}}]','{"counts":"P59e00000000000000000000000000000000000000h=","size":[30,40]}','{"added":[],"box_shifts":[],"boxes_added":[],"boxes_removed":[],"flipped":[],"moved":[],"objects_added":0,"objects_removed":0,"removed":[]}',0.9,'policy',1700000300.0,'fcb1d9bb798b148aae0100ba26a63ed0272809ba391b5b201c7d2f5853da32bf');
INSERT INTO "revisions" VALUES(2,1,'the cat','ann',1,NULL,1,'fix',NULL,'better',8.0,5,'[{"box":[5,10,25,20],"erased":null,"name":"cat","painted":null,"points":[[7.125,12,1],[1,1,0],[20,18,1]],"refined_from":null,"segmented":{"counts":"P5:d000000000000000000000000000000000000f>","size":[30,40]}}]','{"counts":"P5:d000000000000000000000000000000000000f>","size":[30,40]}','{"added":[],"box_shifts":[],"boxes_added":[],"boxes_removed":[],"flipped":[],"moved":[],"objects_added":0,"objects_removed":0,"removed":[]}',0.95,'policy',1700000360.0,'b27d5de705f014cd3d10976ef5d052bfbf9ec655307ef44daf76c9f24a53c89c');
INSERT INTO "revisions" VALUES(3,1,'the cat','ben',NULL,NULL,1,'fix',NULL,'',8.0,3,'[{"box":[5,10,25,20],"erased":null,"name":"cat","painted":null,"points":[[7.125,12,1],[1,1,0],[20,18,1]],"refined_from":null,"segmented":{"counts":"n5:d000000000000000000000000000000000000h=","size":[30,40]}}]','{"counts":"n5:d000000000000000000000000000000000000h=","size":[30,40]}','{"added":[],"box_shifts":[],"boxes_added":[],"boxes_removed":[],"flipped":[],"moved":[],"objects_added":0,"objects_removed":0,"removed":[]}',0.95,'policy',1700000420.0,'e22b54034981913d71d8d91a5f31ea6d27aa0f07685a30fb97cf90e897ee20ee');
INSERT INTO "revisions" VALUES(4,2,'the dog','ben',NULL,NULL,NULL,'reject','grounding','',0.0,0,'[]','{"counts":"`U1","size":[30,40]}','{"added":[],"box_shifts":[],"boxes_added":[],"boxes_removed":[],"flipped":[],"moved":[],"objects_added":0,"objects_removed":0,"removed":[]}',NULL,'policy',1700000480.0,'e5888eb882ef09065591148213e663384b40bf8d972c2a6bff234001a2877570');
CREATE TABLE taken (
            remote TEXT NOT NULL,
            file TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            PRIMARY KEY (remote, file)
        ) STRICT, WITHOUT ROWID;
CREATE TABLE tallies (
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
    ) STRICT, WITHOUT ROWID;
INSERT INTO "tallies" VALUES('ann','policy','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','2023-11-14','fix',1,2,8,16.0,1,5.00000000000000444089e-02);
INSERT INTO "tallies" VALUES('ben','','','2023-11-14','reject',1,1,0,0.0,0,0.0);
INSERT INTO "tallies" VALUES('ben','policy','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','2023-11-14','fix',1,1,3,8.0,1,5.00000000000000444089e-02);
CREATE TABLE tasks (
        id INTEGER PRIMARY KEY,
        picture TEXT NOT NULL REFERENCES pictures(sha256),
        instruction TEXT NOT NULL,
        created_at REAL NOT NULL,
        prediction INTEGER REFERENCES predictions(id),
        confidence REAL,
        disagreement REAL,
        current INTEGER REFERENCES revisions(id),
        UNIQUE (picture, instruction)
    ) STRICT;
INSERT INTO "tasks" VALUES(1,'3d2460c256c414673a25870a3d6d6561a903d47e26da5c46181489bfe688b45e','the cat',1700000120.0,1,0.9,NULL,2);
INSERT INTO "tasks" VALUES(2,'3d2460c256c414673a25870a3d6d6561a903d47e26da5c46181489bfe688b45e','the dog',1700000180.0,NULL,NULL,NULL,4);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX queue_imported ON tasks (id) WHERE current IS NULL;
CREATE INDEX queue_confidence ON tasks (confidence IS NULL, confidence, id) WHERE current IS NULL;
CREATE INDEX queue_disagreement ON tasks (disagreement DESC, id) WHERE current IS NULL;
CREATE INDEX predictions_task ON predictions (task);
CREATE INDEX revisions_task ON revisions (task);
CREATE UNIQUE INDEX revisions_line ON revisions (task, annotator, ifnull(parent, 0));
CREATE INDEX choices_task ON choices (task);
CREATE TRIGGER revisions_no_update BEFORE UPDATE ON revisions BEGIN SELECT RAISE(ABORT, 'revisions are only ever added'); END;
CREATE TRIGGER revisions_no_delete BEFORE DELETE ON revisions BEGIN SELECT RAISE(ABORT, 'revisions are only ever added'); END;
CREATE TRIGGER predictions_no_update BEFORE UPDATE ON predictions BEGIN SELECT RAISE(ABORT, 'predictions are only ever added'); END;
CREATE TRIGGER predictions_no_delete BEFORE DELETE ON predictions BEGIN SELECT RAISE(ABORT, 'predictions are only ever added'); END;
CREATE TRIGGER choices_no_update BEFORE UPDATE ON choices BEGIN SELECT RAISE(ABORT, 'choices are only ever added'); END;
CREATE TRIGGER choices_no_delete BEFORE DELETE ON choices BEGIN SELECT RAISE(ABORT, 'choices are only ever added'); END;
CREATE INDEX tasks_current ON tasks (current) WHERE current IS NOT NULL;
CREATE INDEX heads_annotator ON heads (annotator, revision);
CREATE INDEX journal_renamed ON journal (number) WHERE was IS NOT NULL;
CREATE INDEX predictions_content ON predictions (content_hash);
CREATE INDEX revisions_content ON revisions (content_hash);
CREATE TRIGGER pictures_journal AFTER INSERT ON pictures BEGIN INSERT INTO journal (kind, row) VALUES ('pictures', new.rowid); END;
CREATE TRIGGER ground_truths_journal AFTER INSERT ON ground_truths BEGIN INSERT INTO journal (kind, row) VALUES ('ground_truths', new.rowid); END;
CREATE TRIGGER tasks_journal AFTER INSERT ON tasks BEGIN INSERT INTO journal (kind, row) VALUES ('tasks', new.rowid); END;
CREATE TRIGGER predictions_journal AFTER INSERT ON predictions BEGIN INSERT INTO journal (kind, row) VALUES ('predictions', new.rowid); END;
CREATE TRIGGER revisions_journal AFTER INSERT ON revisions BEGIN INSERT INTO journal (kind, row) VALUES ('revisions', new.rowid); END;
CREATE TRIGGER choices_journal AFTER INSERT ON choices BEGIN INSERT INTO journal (kind, row) VALUES ('choices', new.rowid); END;
CREATE TRIGGER tasks_renamed AFTER UPDATE OF instruction ON tasks WHEN old.instruction != new.instruction BEGIN INSERT INTO journal (kind, row, was) VALUES ('tasks', new.rowid, old.instruction); END;
CREATE TRIGGER ground_truths_replaced AFTER UPDATE OF mask ON ground_truths WHEN old.mask != new.mask BEGIN INSERT INTO journal (kind, row) VALUES ('ground_truths', new.rowid); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('journal',10);
COMMIT;
