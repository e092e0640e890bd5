-- What plugins know: tags of learners, and where a conversation with a plugin stands.

CREATE TABLE IF NOT EXISTS tag (
    botname text,
    chat_id bigint,
    tag text,
    tagged_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, chat_id, tag)
);

CREATE INDEX IF NOT EXISTS tag_of_bot ON tag (botname, tag);

CREATE TABLE IF NOT EXISTS plugin_state (
    botname text,
    key text, -- chat and person, as aiogram's DefaultKeyBuilder names them
    state text,
    data jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, key)
);

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0004_tags', '0.1.0') ON CONFLICT DO NOTHING;
