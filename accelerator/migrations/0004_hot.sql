-- Hot sets: what programs use while they start, in the order of first use (hot/mod.rs). A subject is "app NAME" or
-- "image REPOSITORY". Items are hot::Listed, encoded.
-- What devices have reported; the last few of each subject, platform and class are kept.
CREATE TABLE traces (
    subject  TEXT NOT NULL,
    platform TEXT NOT NULL,
    class    TEXT NOT NULL,   -- of devices; empty: none
    number   BIGINT NOT NULL, -- when it came, microseconds
    items    BLOB NOT NULL,
    PRIMARY KEY (subject, platform, class, number)
);
-- What was said by hand.
CREATE TABLE hot_sets (
    subject TEXT NOT NULL,
    class   TEXT NOT NULL,
    items   BLOB NOT NULL,
    PRIMARY KEY (subject, class)
);
-- What was predicted from an image.
CREATE TABLE predictions (
    manifest BLOB NOT NULL PRIMARY KEY,
    version  BIGINT NOT NULL, -- of the predictor
    items    BLOB NOT NULL
);
