-- Tell rate windows what became of what one gateway process had drawn from them.
--
-- KEYS  one for each window, all of one organization, so that they share a slot of a cluster
-- ARGV  process id, then for each window: kind, change, own, lives_ms
--
-- Kind `w` takes the change of what was drawn in its period: less for what goes back, more for
-- answers above their holds. A window that is over, or that Redis has forgotten, is not brought
-- back below nothing. Kind `c` takes `own`, what the process has drawn now, and counts it for
-- lives_ms more.
-- Returns drawn by window; of kind `c` without what ran out.
local process = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local drawn = {}

for i, key in ipairs(KEYS) do
    local at = 2 + (i - 1) * 4
    local lives = tonumber(ARGV[at + 3])
    if ARGV[at] == 'c' then
        local own = tonumber(ARGV[at + 2])
        if own > 0 then
            redis.call('HSET', key, process, own .. ':' .. (now + lives))
            redis.call('PEXPIRE', key, lives * 4)
        else
            redis.call('HDEL', key, process)
        end
        drawn[i] = 0
        for _, field in ipairs(redis.call('HVALS', key)) do
            local amount, ends = string.match(field, '^(%d+):(%d+)$')
            if tonumber(ends) > now then
                drawn[i] = drawn[i] + tonumber(amount)
            end
        end
    else
        local change = tonumber(ARGV[at + 1])
        drawn[i] = math.max(tonumber(redis.call('GET', key) or '0') + change, 0)
        if lives > 0 and change ~= 0 then
            redis.call('SET', key, string.format('%.0f', drawn[i]), 'PX', lives)
        end
    end
end
return drawn
