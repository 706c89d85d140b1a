-- Where a layer's blob can be entered without reading it from its beginning; NULL: not known.
-- All migrations are written for SQLite; PostgreSQL gets them with BYTEA for BLOB (store/open.rs).
ALTER TABLE layers ADD COLUMN seek_index BLOB;
