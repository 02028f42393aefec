-- An id that follows from the natural key is neither stored nor indexed any more. Readings that are there keep theirs.
ALTER TABLE readings ALTER COLUMN id DROP NOT NULL;

DO $$
DECLARE
    partition regclass;
    by_id text;
BEGIN
    FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'readings'::regclass LOOP
        SELECT format('%I.%I', n.nspname, c.relname || '_by_id') INTO by_id
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = partition;
        EXECUTE 'DROP INDEX IF EXISTS ' || by_id;
    END LOOP;
END $$;

-- Who has ever sent, by the last 8 bytes of the ids derived for them: so a derived id leads to its reading. Filled by
-- `postgres_upgrade`, which also adds to `given_ids` those that the dropped indexes have kept unique.
CREATE TABLE senders (
    organization_no integer NOT NULL,
    digest bytea NOT NULL,
    unit_no integer NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (organization_no, digest, unit_no, device_id)
);
