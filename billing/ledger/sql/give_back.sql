-- Give undrawn parts of allowances back to their windows. Amounts that a process no longer has
-- (it was ended meanwhile) are passed over: ending it gave them back already. So are those that it
-- has taken back: it read what was granted, with a higher fence, before this arrived.
CREATE OR REPLACE FUNCTION ledger_give_back(
    p_process uuid, p_windows bigint[], p_amounts bigint[], p_fence bigint DEFAULT 0
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM gateway_process
        WHERE id = p_process AND ended_at IS NULL AND fence <= p_fence FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM 1 FROM quota_window WHERE id = ANY (p_windows) ORDER BY id FOR UPDATE;
    WITH returned AS (
        UPDATE allowance a SET amount = a.amount - g.amount, granted = a.granted - g.amount
        FROM unnest(p_windows, p_amounts) AS g (window_id, amount)
        WHERE a.window_id = g.window_id AND a.process_id = p_process
        RETURNING g.window_id, g.amount
    )
    UPDATE quota_window w SET drawn = w.drawn - returned.amount
        FROM returned WHERE w.id = returned.window_id;
END $$;
