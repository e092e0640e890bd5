"""The statements of a running bot. Parameters named like columns of several rows are arrays, one element per row.

What every step writes takes its rows as one JSON text instead, ``rows``: to make an array of each column costs psycopg
44 us for a row of ``conversation``, the JSON text 3 us.
"""

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
    INSERT INTO chat (botname, chat_id, sender)
    SELECT %(botname)s, chat_id, %(sender)s FROM unnest(%(chat_ids)s::bigint[]) AS chat_id ORDER BY chat_id
    ON CONFLICT DO NOTHING
"""

LOCK_CHATS = """
    SELECT chat_id, sender = %(sender)s AND NOT is_behind, state, is_blocked, username, language_code FROM chat
    WHERE botname = %(botname)s AND chat_id = ANY (%(chat_ids)s::bigint[])
    ORDER BY chat_id
    FOR UPDATE
"""

HOLD_CHATS = """
    SELECT FROM chat WHERE botname = %(botname)s AND chat_id = ANY (%(chat_ids)s::bigint[]) ORDER BY chat_id FOR UPDATE
"""

# The chats must be locked, by a statement of its own: one that waits for a lock does not see the messages that were
# committed meanwhile. A host that lives has the exclusive lock of its id.
CLAIM_CHATS = """
    UPDATE chat SET sender = %(sender)s, is_behind = false FROM (
        SELECT chat_id, sender, EXISTS (
            SELECT FROM outbox
            WHERE outbox.botname = chat.botname AND outbox.chat_id = chat.chat_id AND failed_at IS NULL
        ) AS is_waiting
        FROM chat WHERE botname = %(botname)s AND chat_id = ANY (%(chat_ids)s::bigint[])
    ) AS before
    WHERE chat.botname = %(botname)s AND chat.chat_id = before.chat_id AND CASE
        WHEN before.sender IS NULL OR before.sender = %(sender)s OR NOT before.is_waiting THEN true
        ELSE pg_try_advisory_xact_lock_shared(hashtextextended('flotilla host:' || before.sender, 0))
    END
    RETURNING chat.chat_id, before.is_waiting, before.sender = %(sender)s
"""

TELL_SENDERS = """
    WITH behind AS (
        UPDATE chat SET is_behind = true WHERE botname = %(botname)s AND chat_id = ANY (%(chat_ids)s::bigint[])
        RETURNING sender
    )
    SELECT pg_notify('flotilla_outbox', sender || ' ' || %(botname)s) FROM (SELECT DISTINCT sender FROM behind) AS told
"""

# Chats that a turn has locked are left to it; what it leaves undone is found the next time.
TAKE_OVER_CHATS = """
    WITH waiting AS (
        SELECT DISTINCT chat_id FROM outbox WHERE botname = %(botname)s AND failed_at IS NULL
    ), free AS (
        SELECT chat_id, sender FROM chat
        WHERE botname = %(botname)s AND chat_id IN (SELECT chat_id FROM waiting)
          AND sender IS DISTINCT FROM %(sender)s
        ORDER BY chat_id FOR UPDATE SKIP LOCKED
    )
    UPDATE chat SET sender = %(sender)s, is_behind = false FROM free
    WHERE chat.botname = %(botname)s AND chat.chat_id = free.chat_id AND CASE
        WHEN free.sender IS NULL THEN true
        ELSE pg_try_advisory_xact_lock_shared(hashtextextended('flotilla host:' || free.sender, 0))
    END
    RETURNING chat.chat_id
"""

# Of all bots at once, because a host may have a thousand.
FIND_STRANDED = """
    WITH waiting AS (
        SELECT DISTINCT botname, sender FROM outbox JOIN chat USING (botname, chat_id)
        WHERE botname = ANY (%(botnames)s::text[]) AND failed_at IS NULL AND sender IS DISTINCT FROM %(sender)s
    ), dead AS (
        SELECT sender FROM (SELECT DISTINCT sender FROM waiting WHERE sender IS NOT NULL) AS others
        WHERE pg_try_advisory_xact_lock_shared(hashtextextended('flotilla host:' || sender, 0))
    )
    SELECT DISTINCT botname FROM waiting WHERE sender IS NULL OR sender IN (SELECT sender FROM dead)
"""

IS_FOREIGN = """
    SELECT EXISTS (
        SELECT FROM outbox JOIN chat USING (botname, chat_id)
        WHERE botname = %(botname)s AND chat_id = %(chat_id)s AND failed_at IS NULL
          AND sender IS DISTINCT FROM %(sender)s
    )
"""

LEAVE_CHATS = """
    WITH left_over AS (
        SELECT chat_id FROM chat
        WHERE botname = %(botname)s AND sender = %(sender)s AND chat_id IN (
            SELECT chat_id FROM outbox WHERE botname = %(botname)s AND failed_at IS NULL
        )
        ORDER BY chat_id FOR UPDATE
    )
    UPDATE chat SET sender = NULL FROM left_over
    WHERE chat.botname = %(botname)s AND chat.chat_id = left_over.chat_id
"""

IS_OUTGOING = """
    SELECT EXISTS (
        SELECT FROM outbox
        WHERE botname = %(botname)s AND chat_id = %(chat_id)s AND run_id = %(run_id)s AND step = %(step)s
          AND failed_at IS NULL
    )
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

# Telegram's usernames are the same in capitals.
BIND_PARTICIPANT = """
    UPDATE courseparticipants SET chat_id = %(chat_id)s
    WHERE course_id = %(course_id)s
      AND (botname IS NULL OR botname = %(botname)s)
      AND (chat_id = %(chat_id)s OR chat_id IS NULL AND lower(username) = lower(%(username)s))
"""

# active_at changes once a minute at most: it is in an index, so that a row that gets another one costs much more.
SAVE_CHATS = """
    UPDATE chat SET username = new.username, state = new.state, updated_at = now(),
        active_at = CASE
            WHEN new.has_written AND coalesce(chat.active_at < now() - interval '1 minute', true) THEN now()
            ELSE chat.active_at
        END,
        is_blocked = chat.is_blocked AND NOT new.has_written,
        language_code = coalesce(new.language_code, chat.language_code)
    FROM json_to_recordset(%(rows)s::json) AS new (
        chat_id bigint, username text, state jsonb, has_written boolean, language_code text
    )
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

START_JOBS = """
    INSERT INTO job (botname, chat_id, run_id, step, kind, params)
    SELECT %(botname)s, chat_id, run_id, step, kind, params
    FROM unnest(
        %(chat_id)s::bigint[], %(run_id)s::integer[], %(step)s::integer[], %(kind)s::text[], %(params)s::jsonb[]
    ) WITH ORDINALITY AS new (chat_id, run_id, step, kind, params, position)
    ORDER BY position
"""

CANCEL_JOBS = """
    DELETE FROM job WHERE botname = %(botname)s AND run_id = ANY (%(run_ids)s::integer[])
"""

# Only the oldest job of a chat is to be had, so that a chat's jobs are done one after the other.
CLAIM_JOBS = """
    WITH free AS (
        SELECT job_id FROM job
        WHERE botname = %(botname)s AND (claimed_until IS NULL OR claimed_until <= now())
          AND NOT EXISTS (
              SELECT FROM job AS older
              WHERE older.botname = job.botname AND older.chat_id = job.chat_id AND older.job_id < job.job_id
          )
        ORDER BY job_id LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    )
    UPDATE job SET attempts = attempts + 1, claimed_until = now() + make_interval(secs => %(seconds)s)
    FROM free WHERE job.job_id = free.job_id
    RETURNING job.job_id, chat_id, run_id, step, kind, params, attempts, message_id
"""

EXTEND_JOBS = """
    UPDATE job SET claimed_until = now() + make_interval(secs => %(seconds)s)
    WHERE botname = %(botname)s AND job_id = ANY (%(job_ids)s::bigint[])
    RETURNING job_id
"""

RELEASE_JOBS = """
    UPDATE job SET claimed_until = NULL WHERE botname = %(botname)s AND claimed_until IS NOT NULL
"""

SET_JOB_MESSAGE = """
    UPDATE job SET message_id = %(message_id)s WHERE botname = %(botname)s AND job_id = %(job_id)s
"""

TAKE_JOB = """
    DELETE FROM job WHERE botname = %(botname)s AND job_id = %(job_id)s
"""

ADD_USAGE = """
    INSERT INTO token_usage AS known (botname, run_id, day, chat_id, course_id, replies, input_tokens, output_tokens)
    SELECT %(botname)s, run_id, (now() AT TIME ZONE 'UTC')::date, min(chat_id), min(course_id), count(*),
        sum(input_tokens), sum(output_tokens)
    FROM unnest(
        %(chat_id)s::bigint[], %(course_id)s::text[], %(run_id)s::integer[], %(input_tokens)s::bigint[],
        %(output_tokens)s::bigint[]
    ) AS new (chat_id, course_id, run_id, input_tokens, output_tokens)
    GROUP BY run_id ORDER BY run_id
    ON CONFLICT (botname, run_id, day) DO UPDATE SET
        replies = known.replies + excluded.replies,
        input_tokens = known.input_tokens + excluded.input_tokens,
        output_tokens = known.output_tokens + excluded.output_tokens
"""

# NULL in the column "excluded" bans as 0 does, and 1 exempts from bans, whatever other rows there are. Dates of
# ``conversation`` are local times of the session that wrote them; all sessions have the time zone of the server.
STANDING = """
    SELECT is_banned, is_exempt, messages, messages_today, tokens_today
    FROM (
        SELECT coalesce(bool_and(excluded IS DISTINCT FROM 1), false) AS is_banned,
            coalesce(bool_or(excluded = 1), false) AS is_exempt
        FROM bannedparticipants
        WHERE botname = %(botname)s AND chat_id = %(chat_id)s
    ) AS listed
    CROSS JOIN (
        SELECT count(*) AS messages,
            count(*) FILTER (WHERE conversation.date_inserted::timestamptz >= date_trunc('day', now(), 'UTC'))
                AS messages_today
        FROM run JOIN conversation USING (run_id)
        WHERE run.botname = %(botname)s AND run.chat_id = %(chat_id)s AND run.course_id = %(course_id)s
          AND conversation.role = 'user' AND conversation.element_type = 'dialog'
    ) AS said
    CROSS JOIN (
        SELECT coalesce(sum(input_tokens + output_tokens), 0)::bigint AS tokens_today FROM token_usage
        WHERE botname = %(botname)s AND day = (now() AT TIME ZONE 'UTC')::date
    ) AS spent
"""

BAN = """
    WITH known AS (
        UPDATE bannedparticipants SET excluded = 0, ban_reason = coalesce(%(reason)s::text, ban_reason),
            banned_at = CASE WHEN excluded = 1 THEN now() ELSE banned_at END
        WHERE botname = %(botname)s AND chat_id = %(chat_id)s
        RETURNING chat_id
    )
    INSERT INTO bannedparticipants (botname, chat_id, ban_reason, excluded)
    SELECT %(botname)s, %(chat_id)s, %(reason)s::text, 0 WHERE NOT EXISTS (SELECT FROM known)
"""

UNBAN = """
    DELETE FROM bannedparticipants WHERE botname = %(botname)s AND chat_id = %(chat_id)s
"""

EXEMPT = """
    INSERT INTO bannedparticipants (botname, chat_id, excluded) VALUES (%(botname)s, %(chat_id)s, 1)
"""

# Whoever gave a username up keeps it here until they write again: it may be several people's.
CHATS_OF = """
    SELECT chat_id FROM chat WHERE botname = %(botname)s AND lower(username) = lower(%(username)s) ORDER BY chat_id
"""

BANS = """
    SELECT chat_id, min(chat.username) AS username, bool_or(excluded IS NOT DISTINCT FROM 1) AS is_exempt,
        max(ban_reason) AS reason, max(banned_at)::timestamptz AS banned_at
    FROM bannedparticipants LEFT JOIN chat USING (botname, chat_id)
    WHERE botname = %(botname)s
    GROUP BY chat_id ORDER BY chat_id
"""

# A row without botname, as the old program wrote them, counts for every bot.
PARTICIPANTS = """
    SELECT DISTINCT course_id, username, chat_id FROM courseparticipants
    WHERE (botname IS NULL OR botname = %(botname)s)
      AND (%(course_id)s::text IS NULL OR course_id = %(course_id)s::text)
    ORDER BY course_id, username, chat_id
"""

ADD_PARTICIPANTS = """
    INSERT INTO courseparticipants (botname, course_id, username, chat_id)
    SELECT %(botname)s, %(course_id)s, username, chat_id
    FROM unnest(%(username)s::text[], %(chat_id)s::bigint[]) WITH ORDINALITY AS new (username, chat_id, position)
    WHERE NOT EXISTS (
        SELECT FROM courseparticipants AS known
        WHERE known.course_id = %(course_id)s AND (known.botname IS NULL OR known.botname = %(botname)s)
          AND (lower(known.username) = lower(new.username) OR known.chat_id = new.chat_id)
    )
    GROUP BY username, chat_id ORDER BY min(position)
"""

REMOVE_PARTICIPANTS = """
    DELETE FROM courseparticipants
    WHERE course_id = %(course_id)s AND (botname IS NULL OR botname = %(botname)s)
      AND (lower(username) = ANY (SELECT lower(unnest(%(username)s::text[]))) OR chat_id = ANY (%(chat_id)s::bigint[]))
"""

OWNER_OF_RUN = """
    SELECT botname, chat_id, course_id FROM run
    WHERE run_id = %(run_id)s AND botname IS NOT NULL AND chat_id IS NOT NULL AND course_id IS NOT NULL
"""

FIND_CHAT = """
    SELECT state, is_blocked, username, language_code FROM chat
    WHERE botname = %(botname)s AND chat_id = %(chat_id)s
"""

TRANSCRIPT = """
    SELECT role, report, json FROM conversation
    WHERE element_id = %(element_id)s AND run_id = (
        SELECT run_id FROM run
        WHERE botname = %(botname)s AND chat_id = %(chat_id)s AND course_id = %(course_id)s AND run_id <= %(run_id)s
          AND EXISTS (
              SELECT FROM conversation
              WHERE conversation.run_id = run.run_id AND conversation.element_id = %(element_id)s
          )
        ORDER BY run_id DESC LIMIT 1
    )
    ORDER BY conversation_id
"""

# One statement, so that a course is seen either before or after it was replaced.
COURSES = """
    SELECT course.course_id, course.yaml, coalesce(
        array_agg(ARRAY[coalesce(element_id, ''), coalesce(json, '')] ORDER BY course_element_id)
            FILTER (WHERE course_element_id IS NOT NULL),
        '{}'
    ) AS elements
    FROM course LEFT JOIN course_element
        ON course_element.course_id = course.course_id AND course_element.bot_name = course.bot_name
    WHERE course.bot_name = %(botname)s
    GROUP BY course.course_id, course.bot_name ORDER BY course.course_id
"""

# Locks the course, so that of two who replace it one comes after the other.
PUT_COURSE = """
    INSERT INTO course (bot_name, course_id, creator_id, yaml)
    VALUES (%(botname)s, %(course_id)s, %(creator_id)s, %(yaml)s)
    ON CONFLICT (course_id, bot_name) DO UPDATE SET
        creator_id = coalesce(excluded.creator_id, course.creator_id), yaml = excluded.yaml, date_created = now()
"""

DROP_ELEMENTS = """
    DELETE FROM course_element WHERE bot_name = %(botname)s AND course_id = %(course_id)s
"""

PUT_ELEMENTS = """
    INSERT INTO course_element (bot_name, course_id, element_id, element_type, json)
    SELECT %(botname)s, %(course_id)s, element_id, element_type, json
    FROM unnest(%(element_id)s::text[], %(element_type)s::text[], %(json)s::text[])
        WITH ORDINALITY AS new (element_id, element_type, json, position)
    ORDER BY position
"""

DROP_COURSE = """
    DELETE FROM course WHERE bot_name = %(botname)s AND course_id = %(course_id)s
"""

# The old program wrote '--empty--' for people without a username, and reports count on it.
RECORD_ROWS = """
    INSERT INTO conversation (
        botname, chat_id, username, course_id, element_id, element_type, role, run_id, json, report, score, maxscore
    )
    SELECT %(botname)s, chat_id, coalesce(username, '--empty--'), course_id, element_id, element_type, role, run_id,
        json, report, score, maxscore
    FROM ROWS FROM (json_to_recordset(%(rows)s::json) AS (
        chat_id bigint, username text, course_id text, element_id text, element_type text, role text, run_id integer,
        json text, report text, score real, maxscore real
    )) WITH ORDINALITY AS new (
        chat_id, username, course_id, element_id, element_type, role, run_id, json, report, score, maxscore, position
    )
    ORDER BY position
"""

ADD_TO_OUTBOX = """
    INSERT INTO outbox (botname, chat_id, method, params, run_id, step, broadcast_id)
    SELECT %(botname)s, chat_id, method, params, run_id, step, broadcast_id
    FROM ROWS FROM (json_to_recordset(%(rows)s::json) AS (
        chat_id bigint, method text, params jsonb, run_id integer, step integer, broadcast_id bigint
    )) WITH ORDINALITY AS new (chat_id, method, params, run_id, step, broadcast_id, position)
    ORDER BY position
    RETURNING outbox_id
"""

PENDING = """
    SELECT outbox_id, chat_id, method, params, run_id, step, broadcast_id FROM outbox JOIN chat USING (botname, chat_id)
    WHERE botname = %(botname)s AND failed_at IS NULL AND sender = %(sender)s
      AND (%(chat_ids)s::bigint[] IS NULL OR chat_id = ANY (%(chat_ids)s::bigint[]))
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

BLOCK_TARGETS = """
    UPDATE broadcast_target SET state = 'blocked' FROM outbox
    WHERE outbox.botname = %(botname)s AND outbox.chat_id = %(chat_id)s AND outbox_id <= %(newest)s
      AND failed_at IS NULL
      AND broadcast_target.broadcast_id = outbox.broadcast_id AND broadcast_target.chat_id = outbox.chat_id
"""

DROP_QUEUE = """
    DELETE FROM outbox
    WHERE botname = %(botname)s AND chat_id = %(chat_id)s AND outbox_id <= %(newest)s AND failed_at IS NULL
"""

BURY = """
    INSERT INTO dead_update (botname, update_id, chat_id, raw, error)
    VALUES (%(botname)s, %(update_id)s, %(chat_id)s, %(raw)s::jsonb, %(error)s)
"""

# Ids ascend, but not for ever: after a week without updates Telegram begins anew, by when those before are forgotten.
NEWEST_UPDATE = """
    SELECT max(seen_at) FROM (
        SELECT seen_at FROM seen_update WHERE botname = %(botname)s ORDER BY update_id DESC LIMIT 1000
    ) AS newest
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

# Waits of the old program, which have no due_at, stay: reports read them.
FORGET_TIMERS = """
    DELETE FROM waiting_element
    WHERE botname = %(botname)s AND is_waiting IS NOT TRUE AND due_at < now() - %(older_than)s::interval
"""

FORGET_FAILURES = """
    DELETE FROM outbox WHERE botname = %(botname)s AND failed_at < now() - %(older_than)s::interval
"""

FORGET_DEAD = """
    DELETE FROM dead_update WHERE botname = %(botname)s AND died_at < now() - %(older_than)s::interval
"""

HAS_SCHEMA = """
    SELECT to_regclass('schema_version') IS NOT NULL
"""

# Before 0007_pins there is no column migrated_by.
APPLIED_MIGRATIONS = """
    SELECT migration_id, oldest_app, to_jsonb(schema_version) ->> 'migrated_by' AS migrated_by
    FROM schema_version ORDER BY migration_id
"""

TAG = """
    INSERT INTO tag (botname, chat_id, tag) VALUES (%(botname)s, %(chat_id)s, %(tag)s) ON CONFLICT DO NOTHING
"""

UNTAG = """
    DELETE FROM tag WHERE botname = %(botname)s AND chat_id = %(chat_id)s AND tag = %(tag)s
"""

TAGS = """
    SELECT tag FROM tag WHERE botname = %(botname)s AND chat_id = %(chat_id)s
"""

TAGGED = """
    SELECT chat_id FROM tag WHERE botname = %(botname)s AND tag = %(tag)s ORDER BY chat_id
"""

FIND_PLUGIN_STATE = """
    SELECT state, data FROM plugin_state WHERE botname = %(botname)s AND key = %(key)s
"""

SET_PLUGIN_STATE = """
    INSERT INTO plugin_state (botname, key, state) VALUES (%(botname)s, %(key)s, %(state)s)
    ON CONFLICT (botname, key) DO UPDATE SET state = excluded.state, updated_at = now()
"""

SET_PLUGIN_DATA = """
    INSERT INTO plugin_state (botname, key, data) VALUES (%(botname)s, %(key)s, %(data)s)
    ON CONFLICT (botname, key) DO UPDATE SET data = excluded.data, updated_at = now()
"""

FORGET_PLUGIN_STATE = """
    DELETE FROM plugin_state WHERE botname = %(botname)s AND key = %(key)s AND state IS NULL AND data = '{}'
"""

# Of all bots at once, because a host may have a thousand. Late is what has not been delivered within some seconds.
FIGURES = """
    SELECT botname, now() AS at, active_5m, active_24h, active_7d, outbox, outbox_age, timers_late, jobs_open,
        coalesce(dead_updates, 0) AS dead_updates
    FROM unnest(%(botnames)s::text[]) AS bot (botname)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE active_at > now() - interval '5 minutes') AS active_5m,
            count(*) FILTER (WHERE active_at > now() - interval '24 hours') AS active_24h,
            count(*) AS active_7d
        FROM chat WHERE chat.botname = bot.botname AND active_at > now() - interval '7 days'
    ) AS active
    CROSS JOIN LATERAL (
        SELECT count(*) AS outbox, extract(epoch FROM now() - min(created_at))::float8 AS outbox_age
        FROM outbox WHERE outbox.botname = bot.botname AND failed_at IS NULL
    ) AS unsent
    CROSS JOIN LATERAL (
        SELECT count(*) AS timers_late FROM waiting_element
        WHERE waiting_element.botname = bot.botname AND is_waiting AND run_id IS NOT NULL
          AND due_at < now() - interval '5 seconds'
    ) AS late
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs_open FROM job WHERE job.botname = bot.botname
    ) AS open
    LEFT JOIN (
        SELECT botname, count(*) AS dead_updates FROM dead_update
        WHERE botname = ANY (%(botnames)s::text[]) GROUP BY botname
    ) AS dead USING (botname)
"""

RUN_PLACES = """
    SELECT botname, course_id, element_id, is_ended, count(*) AS runs
    FROM (
        SELECT botname, course_id, run_id, coalesce(is_ended, false) AS is_ended FROM run
        WHERE botname = ANY (%(botnames)s::text[]) AND course_id IS NOT NULL
    ) AS started
    LEFT JOIN LATERAL (
        SELECT element_id FROM conversation
        WHERE conversation.run_id = started.run_id AND NOT started.is_ended
        ORDER BY conversation_id DESC LIMIT 1
    ) AS place ON true
    GROUP BY botname, course_id, element_id, is_ended
"""

DATABASE_FIGURES = """
    SELECT now() AS at, pg_database_size(current_database()) AS size,
        (SELECT sum(numbackends)::integer FROM pg_stat_database) AS connections,
        current_setting('max_connections')::integer AS max_connections
"""
