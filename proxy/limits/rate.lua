-- A rate of all hosts: GCRA, by the clock of the server. Some of it is leased to one host ahead of use.
--
-- KEYS  1 where the theoretical arrival time is, in microseconds
-- ARGV  1 limit a minute   2 burst   3 wanted   4 at least this is given, if there is as much   5 given back; < 0: overdrawn
--       6 what is there where nothing is known, -1: all of the burst
-- gives { how much is given, 0 or at least what was wanted; microseconds until that was there }
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local limit, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local each = 60000000 / limit
local last = now + burst * each

local arrival = tonumber(redis.call('GET', KEYS[1]) or 0)
if arrival == 0 and tonumber(ARGV[6]) >= 0 then arrival = last - ARGV[6] * each end
arrival = math.max(arrival, now)
-- For a server whose clock was set back.
arrival = math.min(arrival, last + 3600000000)
arrival = math.max(arrival - ARGV[5] * each, now)

local given, wait = 0, 0
if wanted > 0 then
  local free = math.floor((last - arrival) / each + 0.000001)
  -- What is more than the burst is given when nobody has taken anything: it would never be given else.
  local least = math.min(wanted, burst)
  if free >= least then
    given = math.max(wanted, math.min(tonumber(ARGV[4]), free))
    arrival = arrival + given * each
  else
    wait = math.ceil(arrival + least * each - last)
  end
end

if arrival > now then
  redis.call('SET', KEYS[1], string.format('%.0f', math.ceil(arrival)), 'PX', math.ceil((arrival - now) / 1000))
else
  redis.call('DEL', KEYS[1])
end
return { given, wait }
