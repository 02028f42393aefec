-- How many entries of a kind an organization has, so that asking costs no look at each of them: the one writer does
-- nothing else meanwhile. Organizations themselves are not counted.
CREATE TABLE registry_counts (
    kind TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (kind, organization_id)
) STRICT, WITHOUT ROWID;

INSERT INTO registry_counts (kind, organization_id, entries)
SELECT kind, organization_id, count(*) FROM registry WHERE kind <> 'organization' GROUP BY kind, organization_id;
