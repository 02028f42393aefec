ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'ingest'; -- names, separated by spaces
ALTER TABLE api_keys ADD COLUMN expires_at_us INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used_at_us INTEGER;

-- The number grows with every revocation, also when one is renewed, so that "what is new" is "what is higher".
CREATE TABLE revocations (
    revocation_no INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL, -- a token's jti, a user's sub, a key's id, or '' for the whole organization
    revoked_at_us INTEGER NOT NULL,
    UNIQUE (organization_id, kind, subject)
) STRICT;
