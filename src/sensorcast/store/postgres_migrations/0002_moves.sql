-- How far a move from a SQLite database has come: the key of the last reading, and how many there were up to it.
CREATE TABLE moves (
    source text PRIMARY KEY,
    unit_no bigint NOT NULL,
    recorded_at_us bigint NOT NULL,
    device_id text NOT NULL,
    readings bigint NOT NULL
);
