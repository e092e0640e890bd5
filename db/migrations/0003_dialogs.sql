-- Slow work that outlives a crash, what models cost, and courses in the database that hosts notice when they change.

ALTER TABLE chat ADD COLUMN IF NOT EXISTS language_code text;

-- Work that takes too long for a turn. A worker claims a job for a while; the turn that takes its result deletes it.
CREATE TABLE IF NOT EXISTS job (
    job_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    chat_id bigint NOT NULL,
    run_id integer NOT NULL,
    step integer NOT NULL,
    kind text NOT NULL,
    params jsonb NOT NULL DEFAULT '{}',
    attempts integer NOT NULL DEFAULT 0,
    message_id bigint, -- the message that shows the reply so far
    claimed_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS job_of_chat ON job (botname, chat_id, job_id);
CREATE INDEX IF NOT EXISTS job_of_run ON job (run_id);

CREATE TABLE IF NOT EXISTS token_usage (
    botname text,
    run_id integer,
    day date,
    chat_id bigint NOT NULL,
    course_id text NOT NULL,
    replies integer NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (botname, run_id, day)
);

CREATE INDEX IF NOT EXISTS token_usage_of_day ON token_usage (botname, day);

CREATE OR REPLACE FUNCTION announce_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('flotilla_job', NEW.botname);
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS announce_job ON job;
CREATE TRIGGER announce_job AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION announce_job();

-- Once for a transaction: equal notifications of one transaction are one.
CREATE OR REPLACE FUNCTION announce_course() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('flotilla_course', bot_name)
    FROM (VALUES (OLD.bot_name), (NEW.bot_name)) AS changed (bot_name) WHERE bot_name IS NOT NULL;
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS announce_course ON course;
CREATE TRIGGER announce_course AFTER INSERT OR UPDATE OR DELETE ON course
    FOR EACH ROW EXECUTE FUNCTION announce_course();

DROP TRIGGER IF EXISTS announce_course ON course_element;
CREATE TRIGGER announce_course AFTER INSERT OR UPDATE OR DELETE ON course_element
    FOR EACH ROW EXECUTE FUNCTION announce_course();

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0003_dialogs', '0.1.0') ON CONFLICT DO NOTHING;
