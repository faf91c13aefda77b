-- What a quota allows: its own limit, what its raises add until they end, and of prepaid ones that
-- have ended what had been used. A window keeps the sum; `raised_until` says until when it is true.

-- Return what prepaid raises that ended unnoticed leave, in the order of their ends. The quota's own
-- limit is used first, then the raise that ends first. `p_used` is all that is used of the window
-- or drawn from it: calls that were under way when a raise ended are paid by it.
CREATE OR REPLACE FUNCTION ledger_kept_raises(
    p_quota bigint, p_used bigint, p_at timestamptz, OUT raise_id bigint, OUT amount bigint
) RETURNS SETOF record LANGUAGE plpgsql STABLE AS $$
DECLARE
    row record;
    beyond bigint;
BEGIN
    SELECT p_used - q."limit" - coalesce((
        SELECT sum(k.amount) FROM quota_raise_kept k
        JOIN quota_raise r ON r.id = k.raise_id WHERE r.quota_id = p_quota
    ), 0) INTO beyond FROM quota q WHERE q.id = p_quota;
    FOR row IN
        SELECT r.id, r.amount FROM quota_raise r
        WHERE r.quota_id = p_quota AND r.is_prepaid AND r.ends_at <= p_at
            AND NOT EXISTS (SELECT 1 FROM quota_raise_kept k WHERE k.raise_id = r.id)
        ORDER BY r.ends_at, r.id
    LOOP
        raise_id := row.id;
        amount := greatest(least(row.amount, beyond), 0);
        beyond := beyond - amount;
        RETURN NEXT;
    END LOOP;
END $$;

-- Return what a quota allows at a time, of which `p_used` is used or drawn; NULL without a limit.
CREATE OR REPLACE FUNCTION ledger_limit(p_quota bigint, p_used bigint, p_at timestamptz)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT "limit" FROM quota WHERE id = p_quota)
        + coalesce((
            SELECT sum(r.amount) FROM quota_raise r
            WHERE r.quota_id = p_quota AND r.ends_at > p_at
        ), 0)
        + coalesce((
            SELECT sum(k.amount) FROM quota_raise_kept k
            JOIN quota_raise r ON r.id = k.raise_id WHERE r.quota_id = p_quota
        ), 0)
        + coalesce((
            SELECT sum(k.amount) FROM ledger_kept_raises(p_quota, p_used, p_at) AS k
        ), 0);
END $$;

-- Make a window's limit true, and return it. The caller has locked the window.
CREATE OR REPLACE FUNCTION ledger_refresh_limit(p_window bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz := clock_timestamp();
    w quota_window;
    new_limit bigint;
    until timestamptz;
BEGIN
    SELECT * INTO STRICT w FROM quota_window WHERE id = p_window;
    INSERT INTO quota_raise_kept (raise_id, amount)
        SELECT k.raise_id, k.amount
        FROM ledger_kept_raises(w.quota_id, w.posted + w.overrun + w.drawn, at) AS k;
    new_limit := ledger_limit(w.quota_id, 0, at);
    SELECT min(ends_at) INTO until FROM quota_raise
        WHERE quota_id = w.quota_id AND ends_at > at;
    UPDATE quota_window SET "limit" = new_limit, raised_until = until
        WHERE id = p_window AND ("limit" IS DISTINCT FROM new_limit
            OR raised_until IS DISTINCT FROM until);
    RETURN new_limit;
END $$;

-- A changed limit, and a raise that is made, changed or ended, reach the open windows of the quota at
-- once: a lower limit refuses new draws and leaves `ceiling`, what earlier draws were allowed, alone.
-- The quota is locked against a window that is being made from it.
CREATE OR REPLACE FUNCTION ledger_follow_limit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    its_quota bigint;
    its_window bigint;
BEGIN
    IF TG_TABLE_NAME = 'quota' THEN
        its_quota := NEW.id;
    ELSE
        its_quota := coalesce(NEW.quota_id, OLD.quota_id);
        PERFORM 1 FROM quota WHERE id = its_quota FOR NO KEY UPDATE;
    END IF;
    FOR its_window IN
        SELECT id FROM quota_window WHERE quota_id = its_quota AND ends_at > now()
        ORDER BY id FOR UPDATE
    LOOP
        PERFORM ledger_refresh_limit(its_window);
    END LOOP;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER ledger_follow_limit AFTER UPDATE OF "limit" ON quota
    FOR EACH ROW EXECUTE FUNCTION ledger_follow_limit();
CREATE OR REPLACE TRIGGER ledger_follow_raise AFTER INSERT OR UPDATE OR DELETE ON quota_raise
    FOR EACH ROW EXECUTE FUNCTION ledger_follow_limit();
