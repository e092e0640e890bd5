"""The tables of the old program (course-format.md, section 6.1)."""

OLD_TABLES = """
    CREATE TABLE run (
        run_id serial PRIMARY KEY, chat_id int8, username text, botname text, course_id text,
        date_inserted timestamp DEFAULT now(), utm_source text, utm_campaign text, is_ended bool
    );
    CREATE TABLE conversation (
        conversation_id serial PRIMARY KEY, chat_id int8, username text, course_id text, element_id text,
        element_type text, role text, json text, report text, score float4, maxscore float4,
        date_inserted timestamp DEFAULT now(), run_id int4
    );
    CREATE TABLE waiting_element (
        waiting_element_id serial PRIMARY KEY, chat_id int8 NOT NULL, waiting_till_date timestamp, is_waiting bool,
        element_id text, course_id text, botname text
    );
    CREATE TABLE course (
        course_id text, bot_name text, creator_id int8, date_created timestamp DEFAULT now(), yaml text,
        PRIMARY KEY (course_id, bot_name)
    );
    CREATE TABLE course_element (
        course_element_id bigserial PRIMARY KEY, element_id text, json text, element_type text, course_id text,
        bot_name text
    );
    CREATE TABLE courseparticipants (courseparticipant_id serial PRIMARY KEY, course_id text, username text);
    CREATE TABLE bannedparticipants (
        bannedparticipant_id serial PRIMARY KEY, botname text NOT NULL, chat_id int8 NOT NULL,
        banned_at timestamp DEFAULT now(), ban_reason text, excluded smallint
    );
    CREATE TABLE gen_settings (id int4 PRIMARY KEY, bot_name text, s_key text, s_value text);
    CREATE TABLE cache (key text UNIQUE, value text);
"""
