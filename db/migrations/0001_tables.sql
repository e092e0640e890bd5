-- The tables of the old program, which keep their names and columns, and those of Flotilla.
--
-- Works on an empty database as well as on one that the old program has filled: nothing is dropped or renamed, no row is
-- lost. Like every migration it can be repeated, because a crash between its commit and its record runs it again.

CREATE TABLE IF NOT EXISTS schema_version (
    migration_id text PRIMARY KEY,
    oldest_app text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS run (
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

CREATE TABLE IF NOT EXISTS conversation (
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

CREATE TABLE IF NOT EXISTS waiting_element (
    waiting_element_id serial PRIMARY KEY,
    chat_id bigint NOT NULL,
    waiting_till_date timestamp,
    is_waiting boolean,
    element_id text,
    course_id text,
    botname text
);

CREATE TABLE IF NOT EXISTS course (
    course_id text,
    bot_name text,
    creator_id bigint,
    date_created timestamp DEFAULT now(),
    yaml text,
    PRIMARY KEY (course_id, bot_name)
);

CREATE TABLE IF NOT EXISTS course_element (
    course_element_id bigserial PRIMARY KEY,
    element_id text,
    json text,
    element_type text,
    course_id text,
    bot_name text
);

CREATE TABLE IF NOT EXISTS courseparticipants (
    courseparticipant_id serial PRIMARY KEY,
    course_id text,
    username text,
    botname text,
    chat_id bigint
);

CREATE TABLE IF NOT EXISTS bannedparticipants (
    bannedparticipant_id serial PRIMARY KEY,
    botname text NOT NULL,
    chat_id bigint NOT NULL,
    banned_at timestamp DEFAULT now(),
    ban_reason text,
    excluded smallint
);

CREATE TABLE IF NOT EXISTS gen_settings (
    id integer PRIMARY KEY,
    bot_name text,
    s_key text,
    s_value text
);

-- What tables of the old program lack. A participant without botname may take the course with any bot, as before.
ALTER TABLE run ADD COLUMN IF NOT EXISTS utm_source text;
ALTER TABLE run ADD COLUMN IF NOT EXISTS utm_campaign text;
ALTER TABLE run ADD COLUMN IF NOT EXISTS is_ended boolean;
ALTER TABLE conversation ADD COLUMN IF NOT EXISTS run_id integer;
ALTER TABLE conversation ADD COLUMN IF NOT EXISTS botname text;
ALTER TABLE courseparticipants ADD COLUMN IF NOT EXISTS botname text;
ALTER TABLE courseparticipants ADD COLUMN IF NOT EXISTS chat_id bigint;

UPDATE conversation SET botname = run.botname FROM run
WHERE conversation.run_id = run.run_id AND conversation.botname IS NULL;

CREATE INDEX IF NOT EXISTS run_of_chat ON run (botname, chat_id);
CREATE INDEX IF NOT EXISTS conversation_of_run ON conversation (run_id);
CREATE INDEX IF NOT EXISTS course_element_of_course ON course_element (bot_name, course_id);
CREATE INDEX IF NOT EXISTS courseparticipants_of_course ON courseparticipants (course_id, username);
CREATE INDEX IF NOT EXISTS bannedparticipants_of_chat ON bannedparticipants (botname, chat_id, excluded);

-- One person with one bot. Its row is the lock of the chat.
CREATE TABLE IF NOT EXISTS chat (
    botname text,
    chat_id bigint,
    username text,
    state jsonb,
    is_blocked boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, chat_id)
);

CREATE TABLE IF NOT EXISTS seen_update (
    botname text,
    update_id bigint,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, update_id)
);

-- Messages that Telegram has not accepted yet. run_id and step are set for polls, to bind them once they are sent.
CREATE TABLE IF NOT EXISTS outbox (
    outbox_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    chat_id bigint NOT NULL,
    method text NOT NULL,
    params jsonb NOT NULL,
    run_id integer,
    step integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    failed_at timestamptz,
    error text
);

CREATE INDEX IF NOT EXISTS outbox_of_chat ON outbox (botname, chat_id);

CREATE TABLE IF NOT EXISTS poll (
    botname text,
    poll_id text,
    chat_id bigint NOT NULL,
    run_id integer NOT NULL,
    step integer NOT NULL,
    message_id bigint NOT NULL,
    is_single boolean NOT NULL DEFAULT true, -- false: the learner may see another copy, whose id nobody knows
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (botname, poll_id)
);

CREATE INDEX IF NOT EXISTS poll_of_run ON poll (botname, run_id, step);

-- Files that Telegram already has: its id for a link, per bot.
CREATE TABLE IF NOT EXISTS media_file (
    botname text,
    url text,
    kind text NOT NULL,
    file_id text NOT NULL,
    PRIMARY KEY (botname, url)
);

-- Updates that could not be applied, for `flotilla replay`.
CREATE TABLE IF NOT EXISTS dead_update (
    dead_update_id bigserial PRIMARY KEY,
    botname text NOT NULL,
    update_id bigint NOT NULL,
    chat_id bigint,
    raw jsonb NOT NULL,
    error text NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0001_tables', '0.1.0') ON CONFLICT DO NOTHING;
