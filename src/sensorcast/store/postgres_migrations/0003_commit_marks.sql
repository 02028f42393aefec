-- The number of the last transaction that each writing session has committed, written in that transaction itself: by it
-- a session whose connection was cut at COMMIT finds out what became of it. Not readable from the server's own numbers
-- of transactions, which count again from an earlier one after a crash.
CREATE TABLE commit_marks (
    session_id uuid PRIMARY KEY,
    mark bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);
