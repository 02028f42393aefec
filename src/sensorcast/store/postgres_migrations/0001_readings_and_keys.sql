-- Organizations and units get short numbers, so that a reading and its index entries stay small and compare fast.
-- Texts that are compared or sorted use the collation "C": by bytes, as SQLite and Python do, whatever the locale.
CREATE TABLE organizations (
    organization_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE units (
    unit_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_no integer NOT NULL REFERENCES organizations,
    unit_id text COLLATE "C" NOT NULL,
    UNIQUE (organization_no, unit_id)
);

-- Partitions of 30 days, made as they are needed (`postgres_partitions`); each has a unique index of its own on
-- (organization_no, id). Retention drops whole partitions. The order of the columns leaves no gaps for alignment.
CREATE TABLE readings (
    recorded_at_us bigint NOT NULL,
    received_at_us bigint NOT NULL,
    unit_no integer NOT NULL,
    organization_no integer NOT NULL,
    temperature double precision,
    humidity double precision,
    battery smallint,
    signal_strength smallint,
    id uuid NOT NULL,
    device_id text COLLATE "C" NOT NULL, -- '' where the reading names no device: NULLs would never be equal
    source text NOT NULL,
    site_id text,
    metrics jsonb, -- names with % and NUL escaped, which jsonb cannot hold
    PRIMARY KEY (unit_no, recorded_at_us, device_id)
) PARTITION BY RANGE (recorded_at_us);

-- An id that the server derived says its own time, so the unique index of its partition keeps it unique everywhere.
-- An id given by a client does not: those are kept here as well.
CREATE TABLE given_ids (
    organization_no integer NOT NULL,
    id uuid NOT NULL,
    recorded_at_us bigint NOT NULL,
    like_ours boolean NOT NULL, -- has the form of a derived one, so it could be that of another reading
    PRIMARY KEY (organization_no, id)
);

CREATE INDEX given_ids_like_ours ON given_ids (organization_no, id) WHERE like_ours;

CREATE INDEX given_ids_by_time ON given_ids (recorded_at_us);

CREATE TABLE api_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    secret_sha256 text NOT NULL,
    created_at_us bigint NOT NULL,
    revoked_at_us bigint,
    scopes text NOT NULL, -- names, separated by spaces
    expires_at_us bigint,
    last_used_at_us bigint
);

CREATE INDEX api_keys_by_organization ON api_keys (organization_id, created_at_us);

-- The number grows with every revocation, also when one is renewed, so that "what is new" is "what is higher".
CREATE TABLE revocations (
    revocation_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL, -- a token's jti, a user's sub, a key's id, or '' for the whole organization
    revoked_at_us bigint NOT NULL,
    UNIQUE (organization_id, kind, subject)
);
