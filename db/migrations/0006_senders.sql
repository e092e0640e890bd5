-- Several hosts may take the updates of one bot; the messages of a chat are sent by one of them at a time.

-- The host that sends the chat's messages, and whether others have added some that it may not have heard of.
ALTER TABLE chat ADD COLUMN IF NOT EXISTS sender text;
ALTER TABLE chat ADD COLUMN IF NOT EXISTS is_behind boolean NOT NULL DEFAULT false;

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0006_senders', '0.1.0') ON CONFLICT DO NOTHING;
