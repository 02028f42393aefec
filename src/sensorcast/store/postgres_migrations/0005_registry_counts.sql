-- How many entries of a kind an organization has, so that asking costs no look at each of them: a writer that counts
-- holds up the readings of everybody. Organizations themselves are not counted.
CREATE TABLE registry_counts (
    kind text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    entries bigint NOT NULL,
    PRIMARY KEY (kind, organization_id)
);

INSERT INTO registry_counts (kind, organization_id, entries)
SELECT kind, organization_id, count(*) FROM registry WHERE kind <> 'organization' GROUP BY kind, organization_id;
