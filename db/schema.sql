-- What the migrations add up to on an empty database; a test holds them together. For reading, and for tools.

CREATE TABLE schema_version (
    migration_id text PRIMARY KEY,
    oldest_app text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    migrated_by text
);

CREATE TABLE run (
    run_id serial PRIMARY KEY,
    chat_id bigint,
    username text,
    botname text,
    course_id text,
    date_inserted timestamp DEFAULT now(),
    utm_source text,
    utm_campaign text,
    is_ended boolean
);

CREATE TABLE conversation (
    conversation_id serial PRIMARY KEY,
    chat_id bigint,
    username text,
    course_id text,
    element_id text,
    element_type text,
    role text,
    json text,
    report text,
    score real,
    maxscore real,
    date_inserted timestamp DEFAULT now(),
    run_id integer,
    botname text
);

CREATE TABLE waiting_element (
    waiting_element_id serial PRIMARY KEY,
    chat_id bigint NOT NULL,
    waiting_till_date timestamp,
    is_waiting boolean,
    element_id text,
    course_id text,
    botname text,
    run_id integer,
    due_at timestamptz
);

CREATE TABLE course (
    course_id text,
    bot_name text,
    creator_id bigint,
    date_created timestamp DEFAULT now(),
    yaml text,
    PRIMARY KEY (course_id, bot_name)
);

CREATE TABLE course_element (
    course_element_id bigserial PRIMARY KEY,
    element_id text,
    json text,
    element_type text,
    course_id text,
    bot_name text
);

CREATE TABLE courseparticipants (
    courseparticipant_id serial PRIMARY KEY,
    course_id text,
    username text,
    botname text,
    chat_id bigint
);

CREATE TABLE bannedparticipants (
    bannedparticipant_id serial PRIMARY KEY,
    botname text NOT NULL,
    chat_id bigint NOT NULL,
    banned_at timestamp DEFAULT now(),
    ban_reason text,
    excluded smallint
);

CREATE TABLE gen_settings (
    id integer PRIMARY KEY,
    bot_name text,
    s_key text,
    s_value text
);

CREATE INDEX run_of_chat ON run (botname, chat_id);
CREATE INDEX conversation_of_run_in_order ON conversation (run_id, conversation_id);
CREATE INDEX course_element_of_course ON course_element (bot_name, course_id);
CREATE INDEX courseparticipants_of_course ON courseparticipants (course_id, username);
CREATE INDEX bannedparticipants_of_chat ON bannedparticipants (botname, chat_id, excluded);
CREATE INDEX waiting_element_due ON waiting_element (botname, due_at) WHERE is_waiting;
CREATE INDEX waiting_element_of_run ON waiting_element (run_id) WHERE is_waiting;

-- Whoever writes a timer, by hand too, wakes the host that runs the bot.
CREATE FUNCTION announce_timer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('flotilla_timer', NEW.botname);
    RETURN NULL;
END
$$;

CREATE TRIGGER announce_timer AFTER INSERT OR UPDATE ON waiting_element
    FOR EACH ROW WHEN (NEW.is_waiting AND NEW.due_at IS NOT NULL)
    EXECUTE FUNCTION announce_timer();

-- One person with one bot. Its row is the lock of the chat.
CREATE TABLE chat (
    botname text,
    chat_id bigint,
    username text,
    state jsonb,
    is_blocked boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now(),
    language_code text,
    sender text, -- the host that sends the chat's messages
    is_behind boolean NOT NULL DEFAULT false, -- others have added messages that it may not have heard of
    active_at timestamptz, -- when the person did something last, to the minute
    PRIMARY KEY (botname, chat_id)
);

CREATE INDEX chat_active ON chat (botname, active_at);

CREATE TABLE seen_update (
    botname text,
    update_id bigint,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, update_id)
);

-- Messages that Telegram has not accepted yet. run_id and step are set for polls, to bind them once they are sent.
CREATE TABLE outbox (
    outbox_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    chat_id bigint NOT NULL,
    method text NOT NULL,
    params jsonb NOT NULL,
    run_id integer,
    step integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    failed_at timestamptz,
    error text,
    broadcast_id bigint
);

CREATE INDEX outbox_of_chat ON outbox (botname, chat_id);
CREATE INDEX outbox_of_broadcast ON outbox (broadcast_id, chat_id) WHERE broadcast_id IS NOT NULL;

CREATE TABLE poll (
    botname text,
    poll_id text,
    chat_id bigint NOT NULL,
    run_id integer NOT NULL,
    step integer NOT NULL,
    message_id bigint NOT NULL,
    is_single boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, poll_id)
);

CREATE INDEX poll_of_run ON poll (botname, run_id, step);

-- Files that Telegram already has: its id for a link, per bot.
CREATE TABLE media_file (
    botname text,
    url text,
    kind text NOT NULL,
    file_id text NOT NULL,
    PRIMARY KEY (botname, url)
);

-- Updates that could not be applied, for `flotilla replay`.
CREATE TABLE dead_update (
    dead_update_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    update_id bigint NOT NULL,
    chat_id bigint,
    raw jsonb NOT NULL,
    error text NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now()
);

-- Work that takes too long for a turn. A worker claims a job for a while; the turn that takes its result deletes it.
CREATE TABLE job (
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

CREATE INDEX job_of_chat ON job (botname, chat_id, job_id);
CREATE INDEX job_of_run ON job (run_id);

CREATE TABLE token_usage (
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

CREATE INDEX token_usage_of_day ON token_usage (botname, day);

CREATE FUNCTION announce_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('flotilla_job', NEW.botname);
    RETURN NULL;
END
$$;

CREATE TRIGGER announce_job AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION announce_job();

-- Once for a transaction: equal notifications of one transaction are one.
CREATE FUNCTION announce_course() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('flotilla_course', bot_name)
    FROM (VALUES (OLD.bot_name), (NEW.bot_name)) AS changed (bot_name) WHERE bot_name IS NOT NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER announce_course AFTER INSERT OR UPDATE OR DELETE ON course
    FOR EACH ROW EXECUTE FUNCTION announce_course();

CREATE TRIGGER announce_course AFTER INSERT OR UPDATE OR DELETE ON course_element
    FOR EACH ROW EXECUTE FUNCTION announce_course();

CREATE TABLE tag (
    botname text,
    chat_id bigint,
    tag text,
    tagged_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, chat_id, tag)
);

CREATE INDEX tag_of_bot ON tag (botname, tag);

CREATE TABLE plugin_state (
    botname text,
    key text, -- chat and person, as aiogram's DefaultKeyBuilder names them
    state text,
    data jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, key)
);

-- One message to many learners; params are those of the method without the chat. State: running, paused, cancelled, done.
CREATE TABLE broadcast (
    broadcast_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    audience text NOT NULL,
    method text NOT NULL,
    params jsonb NOT NULL,
    state text NOT NULL DEFAULT 'running',
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);

CREATE INDEX broadcast_of_bot ON broadcast (botname, broadcast_id);

-- State: pending, queued (in the outbox), sent, blocked, failed.
CREATE TABLE broadcast_target (
    broadcast_id bigint,
    chat_id bigint,
    state text NOT NULL DEFAULT 'pending',
    PRIMARY KEY (broadcast_id, chat_id)
);

CREATE INDEX broadcast_target_left ON broadcast_target (broadcast_id, state, chat_id)
    WHERE state IN ('pending', 'queued');

CREATE FUNCTION announce_broadcast() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('flotilla_broadcast', NEW.botname);
    RETURN NULL;
END
$$;

CREATE TRIGGER announce_broadcast AFTER INSERT OR UPDATE ON broadcast
    FOR EACH ROW EXECUTE FUNCTION announce_broadcast();

-- From and to: image tags, null is the fleet's own version. Result: done, failed, interrupted.
CREATE TABLE pin (
    pin_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    from_version text,
    to_version text,
    is_rollback boolean NOT NULL DEFAULT false,
    actor text NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    result text NOT NULL,
    reason text
);

CREATE INDEX pin_of_bot ON pin (botname, pin_id);

-- A bot on a host, by its name in bots_config.yaml; troubles are names of alerts with details.
CREATE TABLE watch (
    host text,
    bot text,
    botname text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    is_crashed boolean NOT NULL DEFAULT false,
    troubles jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (host, bot)
);

CREATE INDEX watch_of_bot ON watch (bot) WHERE ended_at IS NULL;

-- What is wrong, or was until a moment ago; the subject is a bot, or empty. Told at the newest message about it.
CREATE TABLE alarm (
    alert text,
    subject text,
    detail text NOT NULL,
    began_at timestamptz NOT NULL,
    gone_at timestamptz,
    told_at timestamptz,
    PRIMARY KEY (alert, subject)
);

-- Bots that an operator has stopped alone, and the container, or what else starts their host again, where they stay so.
CREATE TABLE stopped_bot (
    place text,
    bot text,
    botname text NOT NULL,
    stopped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (place, bot)
);
