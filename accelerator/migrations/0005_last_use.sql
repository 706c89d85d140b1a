-- When a row was used last, in milliseconds since 1970; 0: before this was noted. Only the rows that were used
-- last are kept (store/prune.rs).
ALTER TABLE plans ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE states ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deltas ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
