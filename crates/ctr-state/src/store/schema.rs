//! The tables. A change raises [`VERSION`] and adds a step that brings older stores along.

/// The format written, SQLite's `user_version`.
pub(super) const VERSION: u32 = 2;

/// Names live in a table of their own, so that containers and pods share one space of names (semantics.md T8), and
/// go with their owner by the schema, not by a promise. `config` is apart from `container` because `ps` does not read it.
pub(super) const CREATE: &str = "
CREATE TABLE container (
    id          TEXT PRIMARY KEY,
    created     INTEGER NOT NULL,
    image       TEXT REFERENCES image (id) ON DELETE RESTRICT,
    image_name  TEXT NOT NULL,
    command     TEXT NOT NULL,
    labels      TEXT NOT NULL,
    auto_remove INTEGER NOT NULL,
    phase       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX container_image ON container (image);
CREATE TABLE dependency (
    container TEXT NOT NULL REFERENCES container (id) ON DELETE CASCADE,
    needs     TEXT NOT NULL REFERENCES container (id) ON DELETE RESTRICT,
    PRIMARY KEY (container, needs)
) WITHOUT ROWID;
CREATE INDEX dependency_needs ON dependency (needs);
CREATE TABLE config (
    container TEXT PRIMARY KEY REFERENCES container (id) ON DELETE CASCADE,
    json      TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE name (
    name      TEXT PRIMARY KEY,
    container TEXT NOT NULL UNIQUE REFERENCES container (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE op (
    id        TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    container TEXT,
    boot      TEXT NOT NULL,
    started   INTEGER NOT NULL,
    step      TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE layer (
    diff_id    TEXT PRIMARY KEY,
    blob       TEXT NOT NULL,
    blob_size  INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    size       INTEGER NOT NULL,
    files      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE image (
    id            TEXT PRIMARY KEY,
    manifest      TEXT NOT NULL,
    manifest_size INTEGER NOT NULL,
    created       INTEGER,
    architecture  TEXT NOT NULL,
    os            TEXT NOT NULL,
    labels        TEXT NOT NULL,
    imported      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE image_layer (
    image    TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    diff_id  TEXT NOT NULL REFERENCES layer (diff_id) ON DELETE RESTRICT,
    PRIMARY KEY (image, position)
) WITHOUT ROWID;
CREATE INDEX image_layer_diff ON image_layer (diff_id);
CREATE TABLE image_name (
    name  TEXT PRIMARY KEY,
    image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX image_name_image ON image_name (image);
CREATE TABLE event (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    time       INTEGER NOT NULL,
    object     TEXT NOT NULL,
    action     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    attributes TEXT NOT NULL
);
";

/// What brings a store of one version to the next: the version it starts from, and the statements, run in one transaction
/// with foreign keys off (sqlite.org, "Making Other Kinds Of Table Schema Changes").
pub(super) const STEPS: [(u32, &str); 1] = [(
    1,
    // Containers without an image, and what containers need of each other.
    "
CREATE TABLE container_2 (
    id          TEXT PRIMARY KEY,
    created     INTEGER NOT NULL,
    image       TEXT REFERENCES image (id) ON DELETE RESTRICT,
    image_name  TEXT NOT NULL,
    command     TEXT NOT NULL,
    labels      TEXT NOT NULL,
    auto_remove INTEGER NOT NULL,
    phase       TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO container_2 SELECT id, created, image, image_name, command, labels, auto_remove, phase FROM container;
DROP TABLE container;
ALTER TABLE container_2 RENAME TO container;
CREATE INDEX container_image ON container (image);
CREATE TABLE dependency (
    container TEXT NOT NULL REFERENCES container (id) ON DELETE CASCADE,
    needs     TEXT NOT NULL REFERENCES container (id) ON DELETE RESTRICT,
    PRIMARY KEY (container, needs)
) WITHOUT ROWID;
CREATE INDEX dependency_needs ON dependency (needs);
",
)];
