-- Which versions work on this schema, and which bots were pinned to which.

-- The newest version of the program that has found the schema complete up to here.
ALTER TABLE schema_version ADD COLUMN IF NOT EXISTS migrated_by text;

CREATE TABLE IF NOT EXISTS pin (
    pin_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    from_version text, -- null: the fleet's own
    to_version text,
    is_rollback boolean NOT NULL DEFAULT false,
    actor text NOT NULL, -- user@host
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    result text NOT NULL, -- done, failed, interrupted; after the latter two the old version runs again
    reason text
);

CREATE INDEX IF NOT EXISTS pin_of_bot ON pin (botname, pin_id);

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0007_pins', '0.1.0') ON CONFLICT DO NOTHING;
