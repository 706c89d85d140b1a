-- What resembles what: for each layer the sketches of its contents (sketch.rs, 96 bytes each); none if it was read before
-- there were any. And the digests of an image's layers, 32 bytes each.
ALTER TABLE layers ADD COLUMN sketches BLOB;
ALTER TABLE images ADD COLUMN layers BLOB;
