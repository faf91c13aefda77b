-- Draw from rate windows for the calls that wait in one gateway process: ledger_draw for Redis.
--
-- KEYS  one for each window, all of one organization, so that they share a slot of a cluster
-- ARGV  process id, number of processes, then for each window: kind, limit, spare, own, lives_ms;
--       then for each claim, in the order of waiters: waiter, position, need, want
--
-- Kind `w` counts what was drawn in a period, as a number that expires with it. Kind `c` counts
-- what is drawn now: a field a process, refreshed while it lives and ignored after its time.
-- Returns granted by window, refusing position by waiter (0: admitted), drawn by window.
local process, processes = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local remaining, free, granted, drawn = {}, {}, {}, {}

local function drawn_now(key, own)
    local sum = own
    local fields = redis.call('HGETALL', key)
    for i = 1, #fields, 2 do
        local amount, ends = string.match(fields[i + 1], '^(%d+):(%d+)$')
        if fields[i] ~= process then
            if tonumber(ends) > now then
                sum = sum + tonumber(amount)
            else
                redis.call('HDEL', key, fields[i])
            end
        end
    end
    return sum
end

for i, key in ipairs(KEYS) do
    local at = 3 + (i - 1) * 5
    if ARGV[at] == 'c' then
        drawn[i] = drawn_now(key, tonumber(ARGV[at + 3]))
    else
        drawn[i] = tonumber(redis.call('GET', key) or '0')
    end
    remaining[i] = tonumber(ARGV[at + 1]) - drawn[i]
    free[i] = tonumber(ARGV[at + 2])
    granted[i] = 0
end

local refused, at = {}, 3 + #KEYS * 5
while at <= #ARGV do
    local waiter, last, refusing = ARGV[at], at, 0
    while last <= #ARGV and ARGV[last] == waiter do
        local position, need = tonumber(ARGV[last + 1]), tonumber(ARGV[last + 2])
        local short = need - math.max(free[position], 0)
        if refusing == 0 and short > math.max(remaining[position], 0) then
            refusing = position
        end
        last = last + 4
    end
    table.insert(refused, refusing)
    if refusing == 0 then
        for claim = at, last - 4, 4 do
            local position, need = tonumber(ARGV[claim + 1]), tonumber(ARGV[claim + 2])
            local short, share = need - math.max(free[position], 0), 0
            local quarter = math.floor(remaining[position] / (4 * processes))
            local generous = math.max(math.min(tonumber(ARGV[claim + 3]), quarter), 0)
            if short > 0 then
                share = math.max(short, generous)
            elseif free[position] - need < math.floor(generous / 2) then
                share = generous
            end
            granted[position] = granted[position] + share
            remaining[position] = remaining[position] - share
            free[position] = free[position] + share - need
        end
    end
    at = last
end

for i, key in ipairs(KEYS) do
    local at = 3 + (i - 1) * 5
    local lives = tonumber(ARGV[at + 4])
    if ARGV[at] == 'c' then
        local own = tonumber(ARGV[at + 3]) + granted[i]
        redis.call('HSET', key, process, own .. ':' .. (now + lives))
        redis.call('PEXPIRE', key, lives * 4)
    elseif granted[i] > 0 then
        redis.call('INCRBY', key, granted[i])
        redis.call('PEXPIRE', key, lives)
    end
    drawn[i] = drawn[i] + granted[i]
end
return { granted, refused, drawn }
