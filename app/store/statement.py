"""The statements of a running bot. Parameters named like columns of several rows are arrays, one element per row."""

# psycopg's own BEGIN costs a round trip; these travel with the rest.
BEGIN = "BEGIN"

COMMIT = "COMMIT"

# Chats and updates are taken in ascending order by everyone, which is what keeps turns from deadlocking.

MARK_SEEN = """
    INSERT INTO seen_update (botname, update_id)
    SELECT %(botname)s, update_id FROM unnest(%(update_ids)s::bigint[]) AS update_id ORDER BY update_id
    ON CONFLICT DO NOTHING
    RETURNING update_id
"""

CREATE_CHATS = """
    INSERT INTO chat (botname, chat_id)
    SELECT %(botname)s, chat_id FROM unnest(%(chat_ids)s::bigint[]) AS chat_id ORDER BY chat_id
    ON CONFLICT DO NOTHING
"""

LOCK_CHATS = """
    SELECT chat_id, state, is_blocked, username FROM chat
    WHERE botname = %(botname)s AND chat_id = ANY (%(chat_ids)s::bigint[])
    ORDER BY chat_id
    FOR UPDATE
"""

FIND_POLLS = """
    SELECT poll_id, run_id, step, message_id FROM poll
    WHERE botname = %(botname)s AND poll_id = ANY (%(poll_ids)s::text[])
"""

NEW_RUN_IDS = """
    SELECT nextval('run_run_id_seq')::integer FROM generate_series(1, %(count)s)
"""

NEWEST_POLL = """
    SELECT poll_id, is_single, run_id, step, message_id FROM poll
    WHERE botname = %(botname)s AND chat_id = %(chat_id)s AND run_id = %(run_id)s
    ORDER BY step DESC, message_id DESC LIMIT 1
"""

BIND_PARTICIPANT = """
    UPDATE courseparticipants SET chat_id = %(chat_id)s
    WHERE course_id = %(course_id)s
      AND (botname IS NULL OR botname = %(botname)s)
      AND (chat_id = %(chat_id)s OR chat_id IS NULL AND username = %(username)s)
"""

SAVE_CHATS = """
    UPDATE chat SET username = new.username, state = new.state, updated_at = now(),
        is_blocked = chat.is_blocked AND NOT new.has_written
    FROM unnest(%(chat_id)s::bigint[], %(username)s::text[], %(state)s::jsonb[], %(has_written)s::boolean[])
        AS new (chat_id, username, state, has_written)
    WHERE chat.botname = %(botname)s AND chat.chat_id = new.chat_id
"""

START_RUNS = """
    INSERT INTO run (botname, run_id, chat_id, username, course_id, utm_source, utm_campaign)
    SELECT %(botname)s, new.* FROM unnest(
        %(run_id)s::integer[], %(chat_id)s::bigint[], %(username)s::text[], %(course_id)s::text[],
        %(utm_source)s::text[], %(utm_campaign)s::text[]
    ) AS new
"""

END_RUNS = """
    UPDATE run SET is_ended = true WHERE botname = %(botname)s AND run_id = ANY (%(run_ids)s::integer[])
"""

REOPEN_RUNS = """
    UPDATE run SET is_ended = false WHERE botname = %(botname)s AND run_id = ANY (%(run_ids)s::integer[])
"""

# The old columns are kept up for reports; waiting_till_date is UTC. Seconds, because the length of a day depends on the
# session's time zone.
START_TIMERS = """
    INSERT INTO waiting_element (
        botname, chat_id, run_id, course_id, element_id, is_waiting, due_at, waiting_till_date
    )
    SELECT %(botname)s, chat_id, run_id, course_id, element_id, true, due_at, due_at AT TIME ZONE 'UTC'
    FROM unnest(
        %(chat_id)s::bigint[], %(run_id)s::integer[], %(course_id)s::text[], %(element_id)s::text[],
        %(seconds)s::float8[]
    ) AS new (chat_id, run_id, course_id, element_id, seconds),
    LATERAL (SELECT now() + make_interval(secs => seconds) AS due_at) AS due
"""

CANCEL_TIMERS = """
    UPDATE waiting_element SET is_waiting = false
    WHERE botname = %(botname)s AND run_id = ANY (%(run_ids)s::integer[]) AND is_waiting
"""

NEXT_TIMERS = """
    SELECT waiting_element_id AS timer_id, chat_id, run_id, element_id,
        greatest(0, extract(epoch FROM due_at - now()))::float8 AS seconds
    FROM waiting_element
    WHERE botname = %(botname)s AND is_waiting AND due_at IS NOT NULL AND run_id IS NOT NULL
    ORDER BY due_at, waiting_element_id LIMIT %(limit)s
"""

# Timers change under the lock of their chat only, so that a claim after it needs no lock of its own, and of two hosts
# the second finds nothing left.
CLAIM_TIMERS = """
    UPDATE waiting_element SET is_waiting = false
    WHERE botname = %(botname)s AND waiting_element_id = ANY (%(timer_ids)s::integer[])
      AND is_waiting AND due_at <= now()
    RETURNING waiting_element_id
"""

POSTPONE_TIMER = """
    UPDATE waiting_element SET due_at = now() + make_interval(secs => %(seconds)s)
    WHERE botname = %(botname)s AND waiting_element_id = %(timer_id)s AND is_waiting
"""

# The old program wrote '--empty--' for people without a username, and reports count on it.
RECORD_ROWS = """
    INSERT INTO conversation (
        botname, chat_id, username, course_id, element_id, element_type, role, run_id, json, report, score, maxscore
    )
    SELECT %(botname)s, chat_id, coalesce(username, '--empty--'), course_id, element_id, element_type, role, run_id,
        json, report, score, maxscore
    FROM unnest(
        %(chat_id)s::bigint[], %(username)s::text[], %(course_id)s::text[], %(element_id)s::text[],
        %(element_type)s::text[], %(role)s::text[], %(run_id)s::integer[], %(json)s::text[], %(report)s::text[],
        %(score)s::real[], %(maxscore)s::real[]
    ) WITH ORDINALITY AS new (
        chat_id, username, course_id, element_id, element_type, role, run_id, json, report, score, maxscore, position
    )
    ORDER BY position
"""

ADD_TO_OUTBOX = """
    INSERT INTO outbox (botname, chat_id, method, params, run_id, step)
    SELECT %(botname)s, chat_id, method, params, run_id, step
    FROM unnest(
        %(chat_id)s::bigint[], %(method)s::text[], %(params)s::jsonb[], %(run_id)s::integer[], %(step)s::integer[]
    ) WITH ORDINALITY AS new (chat_id, method, params, run_id, step, position)
    ORDER BY position
    RETURNING outbox_id
"""

PENDING = """
    SELECT outbox_id, chat_id, method, params, run_id, step FROM outbox
    WHERE botname = %(botname)s AND failed_at IS NULL
    ORDER BY outbox_id
"""

TAKE_OUT = """
    DELETE FROM outbox WHERE botname = %(botname)s AND outbox_id = ANY (%(outbox_ids)s::bigint[])
"""

BIND_POLLS = """
    INSERT INTO poll (botname, poll_id, chat_id, run_id, step, message_id, is_single)
    SELECT %(botname)s, new.* FROM unnest(
        %(poll_id)s::text[], %(chat_id)s::bigint[], %(run_id)s::integer[], %(step)s::integer[],
        %(message_id)s::bigint[], %(is_single)s::boolean[]
    ) AS new
    ON CONFLICT DO NOTHING
"""

REMEMBER_FILES = """
    INSERT INTO media_file (botname, url, kind, file_id)
    SELECT DISTINCT ON (url) %(botname)s, url, kind, file_id
    FROM unnest(%(url)s::text[], %(kind)s::text[], %(file_id)s::text[]) AS new (url, kind, file_id)
    WHERE octet_length(url) <= %(longest)s
    ORDER BY url
    ON CONFLICT (botname, url) DO UPDATE SET kind = excluded.kind, file_id = excluded.file_id
"""

FIND_FILES = """
    SELECT url, kind, file_id FROM media_file
    WHERE botname = %(botname)s AND url = ANY (%(urls)s::text[])
"""

MARK_FAILED = """
    UPDATE outbox SET failed_at = now(), error = %(error)s
    WHERE botname = %(botname)s AND outbox_id = %(outbox_id)s
"""

REPLACE_PARAMS = """
    UPDATE outbox SET params = %(params)s WHERE botname = %(botname)s AND outbox_id = %(outbox_id)s
"""

BLOCK_CHAT = """
    UPDATE chat SET is_blocked = NOT EXISTS (
        SELECT FROM outbox
        WHERE botname = %(botname)s AND chat_id = %(chat_id)s AND outbox_id > %(newest)s AND failed_at IS NULL
    )
    WHERE botname = %(botname)s AND chat_id = %(chat_id)s
"""

DROP_QUEUE = """
    DELETE FROM outbox
    WHERE botname = %(botname)s AND chat_id = %(chat_id)s AND outbox_id <= %(newest)s AND failed_at IS NULL
"""

BURY = """
    INSERT INTO dead_update (botname, update_id, chat_id, raw, error)
    VALUES (%(botname)s, %(update_id)s, %(chat_id)s, %(raw)s::jsonb, %(error)s)
"""

FORGET_UPDATES = """
    DELETE FROM seen_update WHERE botname = %(botname)s AND seen_at < now() - %(older_than)s::interval
"""

# The newest poll of a run stays, however old: its learner may come back and vote.
FORGET_POLLS = """
    DELETE FROM poll AS old USING poll AS newer
    WHERE old.botname = %(botname)s AND old.created_at < now() - %(older_than)s::interval
      AND newer.botname = old.botname AND newer.run_id = old.run_id AND newer.step > old.step
"""

HAS_SCHEMA = """
    SELECT to_regclass('schema_version') IS NOT NULL
"""

APPLIED_MIGRATIONS = """
    SELECT migration_id, oldest_app FROM schema_version ORDER BY migration_id
"""
