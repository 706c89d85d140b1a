-- When layers, images and bases were used last, in milliseconds since 1970; 0: before this was noted. It stands apart from
-- those tables because their rows are large. Only what was used last is kept (store/prune.rs).
CREATE TABLE uses (
    kind   TEXT NOT NULL, -- the table
    digest BLOB NOT NULL, -- its key
    used   BIGINT NOT NULL,
    PRIMARY KEY (kind, digest)
);
INSERT INTO uses (kind, digest, used) SELECT 'layers', digest, 0 FROM layers;
INSERT INTO uses (kind, digest, used) SELECT 'images', manifest, 0 FROM images;
INSERT INTO uses (kind, digest, used) SELECT 'bases', tree_digest, 0 FROM bases;
CREATE INDEX uses_by_time ON uses (kind, used);
