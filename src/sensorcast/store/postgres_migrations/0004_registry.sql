-- What organizations, sites, units and devices are called and belong to; no reading refers to it.
CREATE TABLE registry (
    kind text COLLATE "C" NOT NULL, -- organization, site, unit or device
    organization_id text COLLATE "C" NOT NULL,
    entry_id text COLLATE "C" NOT NULL, -- of an organization: its organization_id
    name text NOT NULL,
    site_id text COLLATE "C", -- where a unit stands
    unit_id text COLLATE "C", -- what a device measures
    area text NOT NULL,
    metadata text NOT NULL, -- a JSON object; never searched, and jsonb could not hold every text
    created_at_us bigint NOT NULL,
    PRIMARY KEY (kind, organization_id, entry_id)
);

CREATE INDEX registry_by_site ON registry (organization_id, site_id, entry_id) WHERE site_id IS NOT NULL;

CREATE INDEX registry_by_unit ON registry (organization_id, unit_id, entry_id) WHERE unit_id IS NOT NULL;

-- The number of the last change of each organization's entries; numbers grow over all of them and none is given twice,
-- so that caches ask what is new. Rows are never removed.
-- Its row is locked by whoever writes entries of the organization, so that counting them is exact.
CREATE TABLE registry_changes (
    organization_id text COLLATE "C" PRIMARY KEY,
    change_no bigint NOT NULL
);

CREATE INDEX registry_changes_by_number ON registry_changes (change_no);

-- Whoever has sent readings or has a key is known already.
INSERT INTO registry (kind, organization_id, entry_id, name, area, metadata, created_at_us)
SELECT 'organization', organization_id, organization_id, '', '', '{}', (extract(epoch FROM now()) * 1000000)::bigint
FROM (SELECT organization_id FROM organizations UNION SELECT organization_id FROM api_keys) AS known;

INSERT INTO registry (kind, organization_id, entry_id, name, area, metadata, created_at_us)
SELECT 'unit', o.organization_id, u.unit_id, '', '', '{}', (extract(epoch FROM now()) * 1000000)::bigint
FROM units AS u JOIN organizations AS o USING (organization_no);
