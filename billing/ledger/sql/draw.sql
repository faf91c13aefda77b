-- Draw for the calls that wait in one gateway process: one statement, so no lock is ever held
-- while a client thinks, and a client that is stopped holds up nobody.
--
-- p_windows   windows by id, ascending and distinct; the arrays below speak of positions in it
-- p_spare     what the process has free in each already
-- p_waiter, p_position, p_need, p_want   the claims, in the order of their waiters (1, 2, ...)
-- p_processes the gateway processes that share the windows
-- p_fence     how often the process has found out what became of statements that it gave up on; what
--             it said before that, and arrives only now, is refused
--
-- Each waiter gets all of its windows or none. A grant is what is missing, and up to `want` where
-- that leaves enough for the other processes; a window of which less than half of that is free is
-- filled up with the others. None takes posted + overrun + drawn above the limit.
-- core.decide_draws is this function's model; keep the two alike.
CREATE OR REPLACE FUNCTION ledger_draw(
    p_process uuid,
    p_windows bigint[],
    p_spare bigint[],
    p_waiter int[],
    p_position int[],
    p_need bigint[],
    p_want bigint[],
    p_processes int,
    p_fence bigint DEFAULT 0,
    OUT granted bigint[],
    OUT refused_by int[],
    OUT limits bigint[],
    OUT used bigint[],
    OUT held bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    row record;
    free bigint[] := p_spare;
    remaining bigint[] := '{}';
    claims int := coalesce(array_length(p_waiter, 1), 0);
    first int := 1;
    last int;
    refusing int;
    position int;
    short bigint;
    generous bigint;
    share bigint;
BEGIN
    PERFORM 1 FROM gateway_process
        WHERE id = p_process AND ended_at IS NULL AND lease_until > clock_timestamp()
            AND fence <= p_fence
        FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'gateway process % has ended or its lease has', p_process
            USING ERRCODE = 'TG001';
    END IF;

    limits := '{}'; used := '{}'; held := '{}'; refused_by := '{}';
    FOR row IN
        SELECT w.id, w."limit", w.raised_until, w.posted, w.overrun, w.drawn
        FROM quota_window w WHERE w.id = ANY (p_windows) ORDER BY w.id FOR UPDATE
    LOOP
        IF row.raised_until <= clock_timestamp() THEN
            row."limit" := ledger_refresh_limit(row.id);
        END IF;
        limits := limits || row."limit";
        used := used || (row.posted + row.overrun);
        held := held || row.drawn;
        remaining := remaining
            || coalesce(row."limit" - row.posted - row.overrun - row.drawn, 4611686018427387904);
    END LOOP;
    IF coalesce(array_length(remaining, 1), 0) <> coalesce(array_length(p_windows, 1), 0) THEN
        RAISE EXCEPTION 'a window of % does not exist', p_windows USING ERRCODE = 'TG002';
    END IF;
    granted := array_fill(0::bigint, ARRAY[array_length(p_windows, 1)]);

    WHILE first <= claims LOOP
        last := first;
        WHILE last < claims AND p_waiter[last + 1] = p_waiter[first] LOOP
            last := last + 1;
        END LOOP;
        refusing := 0;
        FOR k IN first..last LOOP
            position := p_position[k];
            short := p_need[k] - greatest(free[position], 0);
            IF short > greatest(remaining[position], 0) THEN
                refusing := position;
                EXIT;
            END IF;
        END LOOP;
        refused_by := refused_by || refusing;
        IF refusing = 0 THEN
            FOR k IN first..last LOOP
                position := p_position[k];
                short := p_need[k] - greatest(free[position], 0);
                generous := greatest(least(p_want[k], remaining[position] / (4 * p_processes)), 0);
                share := 0;
                IF short > 0 THEN
                    share := greatest(short, generous);
                ELSIF free[position] - p_need[k] < generous / 2 THEN
                    share := generous;
                END IF;
                granted[position] := granted[position] + share;
                remaining[position] := remaining[position] - share;
                free[position] := free[position] + share - p_need[k];
            END LOOP;
        END IF;
        first := last + 1;
    END LOOP;

    UPDATE quota_window w SET drawn = w.drawn + g.amount, ceiling = w."limit"
        FROM unnest(p_windows, granted) AS g (window_id, amount)
        WHERE w.id = g.window_id AND g.amount > 0;
    INSERT INTO allowance AS a (window_id, process_id, amount, held, granted)
        SELECT g.window_id, p_process, g.amount, 0, g.amount
        FROM unnest(p_windows, granted) AS g (window_id, amount) WHERE g.amount > 0
        ON CONFLICT (window_id, process_id) DO UPDATE
            SET amount = a.amount + excluded.amount, granted = a.granted + excluded.granted;
END $$;
