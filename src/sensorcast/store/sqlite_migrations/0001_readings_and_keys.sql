-- Organizations and units get short numbers, so that a reading and its index entry stay small and compare fast.
CREATE TABLE organizations (
    organization_no INTEGER PRIMARY KEY,
    organization_id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE units (
    unit_no INTEGER PRIMARY KEY,
    organization_no INTEGER NOT NULL REFERENCES organizations,
    unit_id TEXT NOT NULL,
    UNIQUE (organization_no, unit_id)
) STRICT;

-- The table is its own index: the natural key, in the order in which history is read. A unit's newest reading is the
-- last entry of its stretch, so "latest" needs no second copy that could disagree.
CREATE TABLE readings (
    unit_no INTEGER NOT NULL REFERENCES units,
    recorded_at_us INTEGER NOT NULL,
    device_id TEXT NOT NULL, -- '' where the reading names no device: NULLs would never be equal
    organization_no INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    received_at_us INTEGER NOT NULL,
    temperature REAL,
    humidity REAL,
    battery INTEGER,
    signal_strength INTEGER,
    metrics TEXT, -- a JSON object with sorted names, or NULL
    source TEXT NOT NULL,
    PRIMARY KEY (unit_no, recorded_at_us, device_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX readings_by_id ON readings (organization_no, id);

CREATE TABLE api_keys (
    key_id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    name TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    revoked_at_us INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_by_organization ON api_keys (organization_id, created_at_us);
