-- Bots that an operator has stopped alone: they stay so when their container starts again.

-- The place is a container, or what else starts its host again: in a new one all bots start.
CREATE TABLE IF NOT EXISTS stopped_bot (
    place text,
    bot text, -- its name in bots_config.yaml
    botname text NOT NULL,
    stopped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (place, bot)
);

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0010_stopped', '0.1.0') ON CONFLICT DO NOTHING;
