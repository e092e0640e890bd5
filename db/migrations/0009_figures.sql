-- What figures of a fleet are counted from.

-- When the learner did something last, to the minute; updated_at also changes by timers and jobs.
ALTER TABLE chat ADD COLUMN IF NOT EXISTS active_at timestamptz;
UPDATE chat SET active_at = updated_at WHERE active_at IS NULL AND updated_at > now() - interval '7 days';
CREATE INDEX IF NOT EXISTS chat_active ON chat (botname, active_at);

-- Where a run stands is its newest row; for all else it is as good as the index that it replaces.
CREATE INDEX IF NOT EXISTS conversation_of_run_in_order ON conversation (run_id, conversation_id);
DROP INDEX IF EXISTS conversation_of_run;

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0009_figures', '0.1.0') ON CONFLICT DO NOTHING;
