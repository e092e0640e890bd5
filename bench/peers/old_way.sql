-- The tables of the old program that a step uses (course-format.md, section 6.1), with the keys it had.
CREATE TABLE run (
    run_id serial PRIMARY KEY, chat_id bigint, username text, botname text, course_id text,
    date_inserted timestamp DEFAULT now(), utm_source text, utm_campaign text, is_ended boolean
);
CREATE TABLE conversation (
    conversation_id serial PRIMARY KEY, chat_id bigint, username text, course_id text, element_id text,
    element_type text, role text, json text, report text, score float4, maxscore float4,
    date_inserted timestamp DEFAULT now(), run_id integer REFERENCES run
);
