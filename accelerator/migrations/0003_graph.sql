-- Applications: the images that are deployed together, a reference a line.
CREATE TABLE applications (
    name   TEXT NOT NULL PRIMARY KEY,
    images TEXT NOT NULL
);
-- Trees of base layers, which are no image's: what several images share (plan/bases.rs).
CREATE TABLE bases (
    tree_digest BLOB NOT NULL PRIMARY KEY,
    tree        BLOB NOT NULL -- Tree::encode
);
-- The DAG. States are trees; a name is a reference under which one was asked for.
CREATE TABLE states (
    tree_digest BLOB NOT NULL,
    name        TEXT NOT NULL,
    PRIMARY KEY (tree_digest, name)
);
-- Deltas are its arrows. parent is empty (no bytes) where the delta is a whole tree.
CREATE TABLE deltas (
    parent        BLOB NOT NULL,
    child         BLOB NOT NULL,
    entries       BIGINT NOT NULL,
    content_bytes BIGINT NOT NULL, -- distinct contents of the entries
    sent_bytes    BIGINT,          -- what it took on the wire, once that was measured
    PRIMARY KEY (parent, child)
);
