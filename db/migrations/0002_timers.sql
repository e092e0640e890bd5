-- Waits become timers: each belongs to a run, and has a due time that depends on no time zone.
--
-- Rows that the old program wrote have neither; they stay as they are.

ALTER TABLE waiting_element ADD COLUMN IF NOT EXISTS run_id integer;
ALTER TABLE waiting_element ADD COLUMN IF NOT EXISTS due_at timestamptz;

CREATE INDEX IF NOT EXISTS waiting_element_due ON waiting_element (botname, due_at) WHERE is_waiting;
CREATE INDEX IF NOT EXISTS waiting_element_of_run ON waiting_element (run_id) WHERE is_waiting;

-- Whoever writes a timer, by hand too, wakes the host that runs the bot.
CREATE OR REPLACE FUNCTION announce_timer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('flotilla_timer', NEW.botname);
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS announce_timer ON waiting_element;
CREATE TRIGGER announce_timer AFTER INSERT OR UPDATE ON waiting_element
    FOR EACH ROW WHEN (NEW.is_waiting AND NEW.due_at IS NOT NULL)
    EXECUTE FUNCTION announce_timer();

INSERT INTO schema_version (migration_id, oldest_app) VALUES ('0002_timers', '0.1.0') ON CONFLICT DO NOTHING;
