-- What organizations, sites, units and devices are called and belong to; no reading refers to it.
CREATE TABLE registry (
    kind TEXT NOT NULL, -- organization, site, unit or device
    organization_id TEXT NOT NULL,
    entry_id TEXT NOT NULL, -- of an organization: its organization_id
    name TEXT NOT NULL,
    site_id TEXT, -- where a unit stands
    unit_id TEXT, -- what a device measures
    area TEXT NOT NULL,
    metadata TEXT NOT NULL, -- a JSON object
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (kind, organization_id, entry_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX registry_by_site ON registry (organization_id, site_id, entry_id) WHERE site_id IS NOT NULL;

CREATE INDEX registry_by_unit ON registry (organization_id, unit_id, entry_id) WHERE unit_id IS NOT NULL;

-- The number of the last change of each organization's entries; numbers grow over all of them and none is given twice,
-- so that caches ask what is new. Rows are never removed.
CREATE TABLE registry_changes (
    organization_id TEXT PRIMARY KEY,
    change_no INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX registry_changes_by_number ON registry_changes (change_no);

-- Whoever has sent readings or has a key is known already.
INSERT INTO registry (kind, organization_id, entry_id, name, area, metadata, created_at_us)
SELECT 'organization', organization_id, organization_id, '', '', '{}', unixepoch() * 1000000
FROM (SELECT organization_id FROM organizations UNION SELECT organization_id FROM api_keys);

INSERT INTO registry (kind, organization_id, entry_id, name, area, metadata, created_at_us)
SELECT 'unit', o.organization_id, u.unit_id, '', '', '{}', unixepoch() * 1000000
FROM units AS u JOIN organizations AS o USING (organization_no);
