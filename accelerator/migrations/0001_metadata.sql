-- Metadata of ingested layers and images. Types are those that SQLite and PostgreSQL share.
CREATE TABLE layers (
    digest  BLOB NOT NULL PRIMARY KEY, -- SHA-256 of the blob
    diff_id BLOB NOT NULL,             -- SHA-256 of the uncompressed tar
    size    BIGINT NOT NULL,           -- bytes of the uncompressed tar
    applied BLOB NOT NULL              -- what the layer holds (AppliedLayer::encode)
);
CREATE TABLE images (
    manifest    BLOB NOT NULL PRIMARY KEY, -- SHA-256 of the manifest
    tree        BLOB NOT NULL,             -- the merged tree (Tree::encode)
    tree_digest BLOB NOT NULL
);
CREATE TABLE plans (
    id     BLOB NOT NULL PRIMARY KEY,
    inputs BLOB NOT NULL
);
