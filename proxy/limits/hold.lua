-- What hosts hold of something that does not come back by itself: slots of a concurrency, money of a budget.
--
-- A host always says all of what it holds, so an answer that was lost is mended by its next word, and so is a server
-- that lost its memory. Its words are numbered: one that comes late, after a newer, is not heard.
--
-- KEYS  1 hash: host -> "<holds> <number of its last word> <microseconds of its end, 0: never>";
--         "" -> held by nobody in here any more; "?" -> when somebody was last refused
-- ARGV  1 host   2 number of this word   3 limit   4 holds, "": what it said before   5 wanted besides   6 the slice: as much,
--       or if it is more a twentieth   7 of what is free (1) or of the limit (0)   8 seconds until its words are void, 0: never
--       9 held by others, as the caller knows from elsewhere   10 held by itself, as the others know from there
--       11 whether to give anything now   12 unix time at which all of this is over, 0: after 8
-- gives { how much is given, 0 or at least what was wanted; 1: somebody was refused lately }, or { -1; the number of the
-- newer word }
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local host, number = ARGV[1], tonumber(ARGV[2])
-- Less than nothing is held where what all hosts had spent was forgiven.
local limit, holds, wanted = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local others, past, refused, known = 0, 0, 0, false
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local field, value = all[i], all[i + 1]
  if field == '' then
    past = tonumber(value)
  elseif field == '?' then
    refused = tonumber(value)
  else
    local held, last, over = string.match(value, '^(%-?%d+) (%d+) (%d+)$')
    if field == host then
      if tonumber(last) >= number then return { -1, tonumber(last) } end
      known = true
      holds = holds or tonumber(held)
    elseif over ~= '0' and tonumber(over) <= now then
      redis.call('HDEL', KEYS[1], field)
    else
      others = others + tonumber(held)
    end
  end
end

holds = holds or 0
local before = past
if not known then past = math.max(0, past - tonumber(ARGV[10])) end
if others >= 0 then past = math.max(past, tonumber(ARGV[9]) - others) end
if past ~= before then redis.call('HSET', KEYS[1], '', string.format('%.0f', past)) end

local given = 0
if wanted > 0 then
  local free = limit - others - past - holds
  if free >= wanted and ARGV[11] == '1' then
    local slice = math.ceil((ARGV[7] == '1' and free or limit) / 20)
    given = math.min(math.max(wanted, slice, tonumber(ARGV[6])), free)
  elseif free < wanted then
    redis.call('HSET', KEYS[1], '?', string.format('%.0f', now))
  end
end

local lasts = tonumber(ARGV[8])
local over = lasts > 0 and now + lasts * 1000000 or 0
redis.call('HSET', KEYS[1], host, string.format('%.0f %.0f %.0f', holds + given, number, over))
if ARGV[12] ~= '0' then
  redis.call('EXPIREAT', KEYS[1], ARGV[12])
elseif lasts > 0 then
  redis.call('EXPIRE', KEYS[1], 2 * lasts)
end
return { given, now - refused < 5000000 and 1 or 0 }
