-- Return the windows of quotas that hold the instants `p_ats`, making those that are missing.
--
-- p_starts, p_ends  the periods that hold the instants, in the organization's time zone
-- p_afters          the ends of the periods that follow
-- p_waits           wait for a quota that is being changed; else its window is NULL if it is missing
--
-- Windows of a quota never overlap, so that no change of the time zone counts anew what was counted
-- already. A window that was made in the old zone goes on to its end; the one after it begins there
-- and ends with the first whole period of the new zone.
--
-- A quota is locked while a window is made from it, against another window and against a change of
-- its limit. Who asks for several does not wait, so nobody waits while holding another one's lock.
CREATE OR REPLACE FUNCTION ledger_open_windows(
    p_quotas bigint[],
    p_ats timestamptz[],
    p_starts timestamptz[],
    p_ends timestamptz[],
    p_afters timestamptz[],
    p_waits boolean,
    OUT ids bigint[],
    OUT starts timestamptz[],
    OUT ends timestamptz[]
) LANGUAGE plpgsql AS $$
DECLARE
    w quota_window;
BEGIN
    FOR i IN 1..coalesce(array_length(p_quotas, 1), 0) LOOP
        w := ledger_find_window(p_quotas[i], p_ats[i]);
        IF w.id IS NULL AND ledger_lock_quota(p_quotas[i], p_waits) THEN
            w := ledger_find_window(p_quotas[i], p_ats[i]);
            IF w.id IS NULL THEN
                w := ledger_make_window(
                    p_quotas[i], p_ats[i], p_starts[i], p_ends[i], p_afters[i]
                );
            END IF;
        END IF;
        ids[i] := w.id;
        starts[i] := w.starts_at;
        ends[i] := w.ends_at;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION ledger_find_window(p_quota bigint, p_at timestamptz)
RETURNS quota_window LANGUAGE plpgsql AS $$
DECLARE
    w quota_window;
BEGIN
    SELECT * INTO w FROM quota_window
        WHERE quota_id = p_quota AND starts_at <= p_at AND ends_at > p_at
        ORDER BY starts_at DESC LIMIT 1;
    RETURN w;
END $$;

-- Lock a quota until the statement ends; false where it is gone, or busy and nobody is to wait.
CREATE OR REPLACE FUNCTION ledger_lock_quota(p_quota bigint, p_waits boolean)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_waits THEN
        PERFORM 1 FROM quota WHERE id = p_quota FOR NO KEY UPDATE;
    ELSE
        PERFORM 1 FROM quota WHERE id = p_quota FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION ledger_make_window(
    p_quota bigint,
    p_at timestamptz,
    p_starts timestamptz,
    p_ends timestamptz,
    p_after timestamptz
) RETURNS quota_window LANGUAGE plpgsql AS $$
DECLARE
    earlier timestamptz;
    later timestamptz;
    w quota_window;
BEGIN
    SELECT max(ends_at) INTO earlier FROM quota_window
        WHERE quota_id = p_quota AND ends_at > p_starts AND ends_at <= p_at;
    SELECT min(starts_at) INTO later FROM quota_window
        WHERE quota_id = p_quota AND starts_at > p_at;
    INSERT INTO quota_window (quota_id, starts_at, ends_at, posted, overrun, drawn)
        VALUES (
            p_quota,
            coalesce(earlier, p_starts),
            least(CASE WHEN earlier IS NULL THEN p_ends ELSE p_after END, later),
            0, 0, 0
        )
        RETURNING * INTO w;
    w."limit" := ledger_refresh_limit(w.id);
    RETURN w;
END $$;
