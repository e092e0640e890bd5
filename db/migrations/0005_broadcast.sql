-- Broadcasts: one message to many learners, sent by the bot's host beside its other work.

ALTER TABLE outbox ADD COLUMN IF NOT EXISTS broadcast_id bigint;

CREATE INDEX IF NOT EXISTS outbox_of_broadcast ON outbox (broadcast_id, chat_id) WHERE broadcast_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS broadcast (
    broadcast_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    audience text NOT NULL, -- whom it is for, in the operator's words
    method text NOT NULL,
    params jsonb NOT NULL, -- of the method, without the chat
    state text NOT NULL DEFAULT 'running', -- running, paused, cancelled, done
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);

CREATE INDEX IF NOT EXISTS broadcast_of_bot ON broadcast (botname, broadcast_id);

CREATE TABLE IF NOT EXISTS broadcast_target (
    broadcast_id bigint,
    chat_id bigint,
    state text NOT NULL DEFAULT 'pending', -- pending, queued (in the outbox), sent, blocked, failed
    PRIMARY KEY (broadcast_id, chat_id)
);

CREATE INDEX IF NOT EXISTS broadcast_target_left ON broadcast_target (broadcast_id, state, chat_id)
    WHERE state IN ('pending', 'queued');

-- Also when it is resumed or cancelled, by hand too.
CREATE OR REPLACE FUNCTION announce_broadcast() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('flotilla_broadcast', NEW.botname);
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS announce_broadcast ON broadcast;
CREATE TRIGGER announce_broadcast AFTER INSERT OR UPDATE ON broadcast
    FOR EACH ROW EXECUTE FUNCTION announce_broadcast();

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0005_broadcast', '0.1.0') ON CONFLICT DO NOTHING;
