-- Where the unit stood when it measured; NULL where the sender did not say.
ALTER TABLE readings ADD COLUMN site_id TEXT;
