-- A second digest, with which a large content is compared faster. Versions that were saved before have none.
ALTER TABLE versions ADD COLUMN blake3 BLOB;
