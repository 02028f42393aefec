-- An id that follows from the natural key is neither stored nor indexed any more: it was nearly half of the file.
-- SQLite cannot change a column, so the readings are copied. `derived_id` is a function of the program.
ALTER TABLE readings RENAME TO readings_with_ids;

CREATE TABLE readings (
    unit_no INTEGER NOT NULL REFERENCES units,
    recorded_at_us INTEGER NOT NULL,
    device_id TEXT NOT NULL, -- '' where the reading names no device: NULLs would never be equal
    organization_no INTEGER NOT NULL,
    id BLOB CHECK (length(id) = 16), -- given by a client; NULL where it follows from the natural key
    received_at_us INTEGER NOT NULL,
    temperature REAL,
    humidity REAL,
    battery INTEGER,
    signal_strength INTEGER,
    metrics TEXT, -- a JSON object with sorted names, or NULL
    source TEXT NOT NULL,
    site_id TEXT, -- where the unit stood when it measured; NULL where the sender did not say
    PRIMARY KEY (unit_no, recorded_at_us, device_id)
) STRICT, WITHOUT ROWID;

INSERT INTO readings
SELECT r.unit_no, r.recorded_at_us, r.device_id, r.organization_no,
    nullif(r.id, derived_id(o.organization_id, u.unit_id, r.device_id, r.recorded_at_us)), r.received_at_us,
    r.temperature, r.humidity, r.battery, r.signal_strength, r.metrics, r.source, r.site_id
FROM readings_with_ids AS r CROSS JOIN units AS u ON u.unit_no = r.unit_no
    CROSS JOIN organizations AS o ON o.organization_no = r.organization_no
ORDER BY r.unit_no, r.recorded_at_us, r.device_id;

DROP TABLE readings_with_ids;

CREATE UNIQUE INDEX readings_by_given_id ON readings (organization_no, id) WHERE id IS NOT NULL;

-- Given ids in the form of derived ones (UUID version 8): each could be that of another reading.
CREATE INDEX readings_with_id_like_ours ON readings (organization_no) WHERE substr(id, 7, 1) BETWEEN x'80' AND x'8f';

-- Who has ever sent, by the last 8 bytes of the ids derived for them: so a derived id leads to its reading.
CREATE TABLE senders (
    organization_no INTEGER NOT NULL,
    digest BLOB NOT NULL,
    unit_no INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (organization_no, digest, unit_no, device_id)
) STRICT, WITHOUT ROWID;

INSERT INTO senders
SELECT o.organization_no, substr(derived_id(o.organization_id, u.unit_id, r.device_id, 0), 9), r.unit_no, r.device_id
FROM (SELECT DISTINCT unit_no, device_id FROM readings) AS r JOIN units AS u USING (unit_no)
    JOIN organizations AS o USING (organization_no);
