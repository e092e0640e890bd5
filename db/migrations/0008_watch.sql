-- What hosts run, and what operators were told of it: hosts watch each other without any Prometheus.

-- A bot on a host. It has crashed when its host is gone and this is not over.
CREATE TABLE IF NOT EXISTS watch (
    host text,
    bot text, -- its name in bots_config.yaml
    botname text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    is_crashed boolean NOT NULL DEFAULT false,
    troubles jsonb NOT NULL DEFAULT '{}', -- what the host has found wrong: names of alerts, and details
    PRIMARY KEY (host, bot)
);

CREATE INDEX IF NOT EXISTS watch_of_bot ON watch (bot) WHERE ended_at IS NULL;

-- What is wrong, or was until a moment ago.
CREATE TABLE IF NOT EXISTS alarm (
    alert text,
    subject text, -- a bot's name in bots_config.yaml; empty for what concerns all
    detail text NOT NULL,
    began_at timestamptz NOT NULL,
    gone_at timestamptz,
    told_at timestamptz, -- of the newest message about it
    PRIMARY KEY (alert, subject)
);

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0008_watch', '0.1.0') ON CONFLICT DO NOTHING;
