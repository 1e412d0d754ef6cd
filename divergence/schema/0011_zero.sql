-- Fingerprints of the divergences of a tick at places of which the policy allows none.
ALTER TABLE ticks ADD COLUMN IF NOT EXISTS zero Array(String) CODEC(ZSTD(1));
