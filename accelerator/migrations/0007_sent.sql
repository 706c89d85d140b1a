-- What deltas took on the wire, for each codec of packs (the bits of a request): what the one took says nothing of the other.
CREATE TABLE sent (
    parent BLOB NOT NULL, -- as in deltas
    child  BLOB NOT NULL,
    codecs BIGINT NOT NULL,
    bytes  BIGINT NOT NULL,
    PRIMARY KEY (parent, child, codecs)
);
-- So far all was deflate.
INSERT INTO sent (parent, child, codecs, bytes) SELECT parent, child, 1, sent_bytes FROM deltas WHERE sent_bytes IS NOT NULL;
ALTER TABLE deltas DROP COLUMN sent_bytes;
