CREATE TABLE container (
    id          TEXT PRIMARY KEY,
    created     INTEGER NOT NULL,
    image       TEXT NOT NULL REFERENCES image (id) ON DELETE RESTRICT,
    image_name  TEXT NOT NULL,
    command     TEXT NOT NULL,
    labels      TEXT NOT NULL,
    auto_remove INTEGER NOT NULL,
    phase       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX container_image ON container (image);
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
