-- Return the ids of windows, in the order given, making those that are missing. The quota's row is
-- locked against a change of its limit for as long as a window is being made from it.
CREATE OR REPLACE FUNCTION ledger_open_windows(
    p_quotas bigint[], p_starts timestamptz[], p_ends timestamptz[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    found_ids bigint[];
BEGIN
    INSERT INTO quota_window (quota_id, starts_at, ends_at, "limit", posted, overrun, drawn)
        SELECT q.id, g.starts_at, g.ends_at, q."limit", 0, 0, 0
        FROM unnest(p_quotas, p_starts, p_ends) AS g (quota_id, starts_at, ends_at)
        JOIN quota q ON q.id = g.quota_id
        WHERE NOT EXISTS (
            SELECT 1 FROM quota_window w
            WHERE w.quota_id = g.quota_id AND w.starts_at = g.starts_at
        )
        ORDER BY q.id FOR SHARE OF q
        ON CONFLICT (quota_id, starts_at) DO NOTHING;
    SELECT array_agg(w.id ORDER BY g.position) INTO found_ids
        FROM unnest(p_quotas, p_starts) WITH ORDINALITY AS g (quota_id, starts_at, position)
        LEFT JOIN quota_window w ON w.quota_id = g.quota_id AND w.starts_at = g.starts_at;
    RETURN found_ids;
END $$;

-- A changed limit reaches the open windows of its quota at once: lowering it refuses new draws
-- and leaves `ceiling`, what earlier draws were allowed, alone.
CREATE OR REPLACE FUNCTION ledger_follow_limit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE quota_window SET "limit" = NEW."limit"
        WHERE quota_id = NEW.id AND ends_at > now() AND "limit" IS DISTINCT FROM NEW."limit";
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER ledger_follow_limit AFTER UPDATE OF "limit" ON quota
    FOR EACH ROW EXECUTE FUNCTION ledger_follow_limit();
